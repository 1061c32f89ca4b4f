"""Pictures that are edited: words behind the pictures that Qwen-Image's text encoder is shown, and maps of these."""

from copy import deepcopy
from functools import lru_cache, partial, wraps

import numpy as np
import pytest
import torch
from builders.eager import everything_kept, means
from builders.editing import Processor
from builders.reference_attention import BOOKS
from builders.refusals import user_error
from builders.script_pipelines import PIPELINES, other_picture, small_image
from PIL import Image

import seediff
from seediff.attention.windows import Window
from seediff.models.families import flux, network_family
from seediff.script.placement import shown_canvas

PROMPT, NEGATIVE = "a photo of a cat and a potted plant", "a bus"
NAMES = ("QwenImageEditPipeline", "QwenImageEditPlusPipeline, two images", "QwenImage21Pipeline, image")


@pytest.fixture(params=NAMES)
def draw(loaded, request):
    """A pipeline that edits, and a function that draws with it."""
    kind = PIPELINES[request.param]
    pipe = kind.make(request.param, loaded(kind.twin).pipe)
    pipe.set_progress_bar_config(disable=True)
    call = {**kind.call, "negative_prompt": NEGATIVE, "num_inference_steps": 2}
    return pipe, partial(pipe, prompt=PROMPT, **call)


def tokens_of(pipe, seen, of):
    """Word → the tokens in its columns, as the text encoder reads them; columns end where the text does."""
    text = seen._attention(0, of).text
    tokenizer = pipe.processor.tokenizer
    template = getattr(pipe, "prompt_template_ti2i", "") or pipe.prompt_template_encode
    behind = template.partition("{}")[2]
    end = tokenizer(text.prompt + behind).input_ids
    return {
        word: tokenizer.decode([end[column - text.columns] for column in columns]).replace(" ", "")
        for word, columns in text.find(text.words).items()
    }


def test_words_of_the_prompt_and_of_the_negative_prompt(draw):
    """Of two pictures at once, with the maps of each step."""
    pipe, draw = draw
    with seediff.capture(pipe, negative=True, apart="step") as seen:
        draw(num_images_per_prompt=2)
    assert seen.prompts == [PROMPT] * 2
    for of, words in (("prompt", {"cat", "potted", "plant"}), ("negative", {"bus"})):
        assert tokens_of(pipe, seen, of) == {word: word for word in words}
    assert [*seen.heatmaps_apart("cat", image=1)] == ["0", "1"]
    assert seen.heatmap("bus", of="negative").shape == seen.images[0].shape[:2]


def test_words_whose_columns_are_not_proved(draw, monkeypatch):
    """A processor that adds something, and embeddings, of which only columns are known."""
    pipe, draw = draw
    own = Processor.__call__

    @wraps(own)
    def adds(self, text, *args, **more):
        return own(self, [each + " so" for each in text], *args, **more)

    monkeypatch.setattr(Processor, "__call__", adds)
    with seediff.capture(pipe) as seen:
        draw()
    with user_error(r"^'cat': the processor's tokens are not those of the tokenizer; name columns$"):
        seen.heatmap("cat")
    assert seen.heatmap((1, 2)).shape == seen.images[0].shape[:2]


def test_embeddings_name_no_words(loaded):
    kind = PIPELINES[NAMES[0]]
    pipe = kind.make(NAMES[0], loaded(kind.twin).pipe)
    with torch.no_grad():
        states, mask = pipe.encode_prompt([PROMPT], [kind.call["image"]])
    with seediff.capture(pipe, prompt=PROMPT) as seen:
        pipe(image=kind.call["image"], prompt_embeds=states, prompt_embeds_mask=mask, height=64, width=64,
             num_inference_steps=1)  # fmt: skip
    with user_error(r"^'cat': the network is shown pictures, whose tokens come before the prompt's, and the processor"):
        seen.heatmap("cat")


@pytest.mark.parametrize(
    ("name", "photo", "place"),
    [
        ("FluxKontextPipeline", small_image(), Window(0, 0, 64, 64)),
        ("Flux2KleinPipeline, two images", other_picture(), Window(1, 1, 68, 100)),
        ("QwenImageEditPlusPipeline, two images", other_picture(), Window(0, 0, 71, 103)),
    ],
)
def test_heat_maps_of_what_was_shown(loaded, name, photo, place):
    """The last shown picture's rows and the text's columns, in float64; and their place in the photograph. A photograph
    on which the script draws afterwards is as it was."""
    kind = PIPELINES[name]
    count, book, pipe = len(kind.shown), BOOKS[kind.twin], kind.make(name, loaded(kind.twin).pipe)
    pipe.set_progress_bar_config(disable=True)
    family = network_family(pipe.transformer)
    given = deepcopy(kind.call["image"])
    draw = partial(pipe, prompt=PROMPT, num_inference_steps=1, **{**kind.call, "image": given})
    layers = dict.fromkeys(family.layers(pipe.transformer), book.attention)
    with everything_kept(pipe.transformer, layers) as kept, seediff.capture(pipe, shown=count) as seen:
        draw()
    last = given[-1] if count > 1 else given
    last.paste((0, 0, 0), (0, 0, *last.size))
    kept = kept[: len(layers)]  # the call with the prompt
    whole = kept[0].probabilities.shape[3]
    of, rows = "shown 2" if count > 1 else "shown", slice(whole - kind.shown[-1], whole)
    (maps,) = seen._attention(0, of).maps.cross_attention.values()
    expected = means(kept, 1, rows, slice(0, maps.shape[1]))["cross", kind.shown[-1]][0]
    assert float((maps.double() - expected).abs().max()) < 2e-6
    heat, masks = seen.heatmap("cat", of=of), seen.masks("cat", "plant", of=of, pamr=False)
    assert heat.shape == masks.label_map.shape == (photo.height, photo.width)
    begin, end = np.argwhere(heat.values).min(0), np.argwhere(heat.values).max(0) + 1
    assert Window(*begin, *(end - begin)) == place
    assert np.array_equal(heat.pixels, np.asarray(photo))
    with user_error(r"^method: seediff: self-attention of shown pictures is not captured; use method='ca'$"):
        seen.masks("cat", of=of, method="seediff")
    with user_error(r"^of: 'shown 3': must be prompt, or negative in"):
        seen.heatmap("cat", of="shown 3")


def test_one_photograph_for_each_prompt(loaded):
    """Kontext repeats the list of pictures, and each prompt."""
    kind = PIPELINES["FluxKontextPipeline"]
    pipe = kind.make("FluxKontextPipeline", loaded("flux").pipe)
    photos, rows = [small_image(), small_image().rotate(180)], []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda _, args, given: rows.append(given["hidden_states"][:, 256:]), with_kwargs=True
    )
    with seediff.capture(pipe, shown=True) as seen:
        call = {**kind.call, "image": photos, "num_images_per_prompt": 2, "num_inference_steps": 1}
        pipe(prompt=[PROMPT, "a bus"], **call)
    hook.remove()
    (rows,) = rows
    assert torch.equal(rows[0], rows[2])
    assert not torch.equal(rows[0], rows[1])
    for number, word in enumerate(("cat", "cat", "bus", "bus")):
        assert np.array_equal(seen.heatmap(word, number, of="shown").pixels, np.asarray(photos[number % 2]))


def test_the_part_of_a_photograph_that_was_shown():
    """FLUX.2's own processor shrinks a picture whose pixels are their rows, or columns, and cuts off its ends."""
    from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor

    processor = Flux2ImageProcessor(vae_scale_factor=16)
    for photo in ((79, 95), (767, 511), (1024, 1040), (3024, 4032), (640, 4000)):
        shown: list[tuple[float, float]] = []
        for axis, side in enumerate(photo):
            places = np.indices(photo, np.float32)[axis] + 0.5
            small = processor._resize_if_exceeds_area(Image.fromarray(places))
            width, height = (side // 16 * 16 for side in small.size)
            read = np.asarray(processor.resize(small, height, width, resize_mode="crop"))
            half = side / (small.size[1 - axis] * 2)  # of a pixel of the shrunk picture
            shown.append((read.min() - half, read.max() + half))
        (top, bottom), (left, right) = shown
        window = shown_canvas((height, width), photo, "crop").window
        found = window.top, window.left, window.top + window.height, window.left + window.width
        assert np.abs(np.subtract(found, (top, left, bottom, right))).max() <= 0.5 + 1e-2, photo
    assert shown_canvas((48, 64), (70, 100), "stretch").window == Window(0, 0, 70, 100)


@pytest.fixture
def kontext(loaded):
    """The pipeline, and a function that draws with it."""
    name = "FluxKontextPipeline, true_cfg_scale"
    pipe = PIPELINES[name].make(name, loaded("flux").pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe, partial(pipe, prompt=PROMPT, num_inference_steps=1, **PIPELINES[name].call)


def test_the_negative_prompt_where_more_is_wanted_than_is_shown(kontext):
    pipe, draw = kontext
    with seediff.capture(pipe, negative=True, shown=2) as seen:
        draw()
    masks = seen.masks("cat", of="negative", pamr=False)
    assert masks.label_map.shape == seen.heatmap("cat").shape == (64, 64)
    with user_error("^shown: 2: the network is shown 1 picture$"):
        seen.heatmap("cat", of="shown 2")
    with user_error(r"^method: seediff: self-attention of the negative prompt's rows is not captured; use method='ca'"):
        seen.masks("cat", of="negative", method="seediff")
    with user_error("^of: None: must be prompt, or negative"):
        seen.masks("cat", of=None)


def test_a_callback_that_changes_the_prompt(kontext):
    """Maps are means of the steps with the prompt; the drawn picture's latents in the others need not be known."""
    pipe, draw = kontext
    with torch.no_grad():
        other = pipe.encode_prompt("a bus", "a bus")[0]
    more = {"callback_on_step_end": lambda *_: {"prompt_embeds": other}, "num_inference_steps": 2}
    with pytest.warns(match="the network was given the prompt in 1 of 2 steps"), seediff.capture(pipe) as seen:
        draw(**more)
    assert seen.heatmap("cat").shape == (64, 64)


def test_latents_that_are_not_numbers(kontext):
    """They are equal to themselves: attention says what is wrong."""
    pipe, draw = kontext
    pipe.transformer.proj_out.weight.data.fill_(torch.nan)
    with seediff.capture(pipe) as seen:
        draw(num_inference_steps=2)
    with user_error("^model: probabilities of .* are not numbers"):
        seen.heatmap("cat")


def test_pictures_whose_pixels_are_not_known(kontext):
    pipe, draw = kontext
    with seediff.capture(pipe, shown=True) as seen:
        draw(image=np.asarray(small_image())[None] / 255)
    with user_error("^of='shown': the pipeline was not given it as a picture of Pillow; give such pictures"):
        seen.heatmap("cat", of="shown")


def test_places_are_read_in_the_first_step_alone(loaded, monkeypatch):
    """Reading them waits for the GPU, and FLUX.2 makes new ones in each step."""
    name, reads, own = "Flux2KleinPipeline, two images", [0], flux.packed_pictures

    def counting(*args):
        reads[-1] += 1
        return own.__wrapped__(*args)

    def next_step(*_):
        reads.append(0)
        return {}

    monkeypatch.setattr(flux, "packed_pictures", lru_cache(own.cache_parameters()["maxsize"])(counting))
    pipe = PIPELINES[name].make(name, loaded("flux2_klein").pipe)
    more = {"image": [small_image()] * 5, "num_inference_steps": 3, "callback_on_step_end": next_step}
    with seediff.capture(pipe, shown=5):
        pipe(prompt=PROMPT, **{**PIPELINES[name].call, **more})
    assert reads[0] > 0
    assert reads[1:] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "is_own"),
    [("FluxPipeline", False), ("FluxKontextPipeline", True), ("FluxKontextInpaintPipeline", False)],
)
def test_pipelines_whose_pictures_are_not_known(loaded, name, is_own):
    """Refused before they draw."""
    pipe = PIPELINES[name].make(name, loaded("flux").pipe)
    if is_own:

        class Own(type(pipe)):
            def __call__(self, *args, **more):
                return super().__call__(*args, **more)

        pipe = Own(**pipe.components)
    said = f"^shown: which part of a picture a {type(pipe).__name__} shows is unknown; use a FluxKontextPipeline of"
    with user_error(said):
        seediff.capture(pipe, shown=True).__enter__()


@pytest.mark.parametrize("shown", ["2", 1.5, -1, None])
def test_no_number_of_pictures(loaded, shown):
    with user_error("^shown: .* must be True, or a number of pictures$"):
        seediff.capture(loaded("flux").pipe, shown=shown).__enter__()


@pytest.mark.parametrize(("name", "keep"), [("unet", "all"), ("qwen_image_21", "all"), ("flux", "segments")])
def test_nothing_that_is_shown_attends_to_words(loaded, name, keep):
    said = (
        rf"^shown: a \w+Pipeline with keep='{keep}' has no pictures that attend to words; capture a pipeline that edits"
    )
    with user_error(said), seediff.capture(loaded(name).pipe, keep=keep, shown=True):
        pass
