"""Pictures that are edited: words behind the pictures that Qwen-Image's text encoder is shown, and maps of these."""

from functools import lru_cache, partial

import pytest
import torch
from builders.refusals import user_error
from builders.script_pipelines import PIPELINES, small_image

import seediff
from seediff.models.families import flux

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


def tokens_of(pipe, seen):
    """Word → the tokens in its columns, as the text encoder reads them; columns end where the text does."""
    text = seen._attention(0).text
    tokenizer = pipe.processor.tokenizer
    template = getattr(pipe, "prompt_template_ti2i", "") or pipe.prompt_template_encode
    behind = template.partition("{}")[2]
    end = tokenizer(text.prompt + behind).input_ids
    return {
        word: tokenizer.decode([end[column - text.columns] for column in columns]).replace(" ", "")
        for word, columns in text.find(text.words).items()
    }


def test_words_behind_pictures(draw):
    """Of two pictures at once, with the maps of each step."""
    pipe, draw = draw
    with seediff.capture(pipe, apart="step") as seen:
        draw(num_images_per_prompt=2)
    assert seen.prompts == [PROMPT] * 2
    assert tokens_of(pipe, seen) == {word: word for word in ("cat", "potted", "plant")}
    assert [*seen.heatmaps_apart("cat", image=1)] == ["0", "1"]


@pytest.fixture
def kontext(loaded):
    """The pipeline, and a function that draws with it."""
    name = "FluxKontextPipeline, true_cfg_scale"
    pipe = PIPELINES[name].make(name, loaded("flux").pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe, partial(pipe, prompt=PROMPT, num_inference_steps=1, **PIPELINES[name].call)


def test_latents_that_are_not_numbers(kontext):
    """They are equal to themselves: attention says what is wrong."""
    pipe, draw = kontext
    pipe.transformer.proj_out.weight.data.fill_(torch.nan)
    with seediff.capture(pipe) as seen:
        draw(num_inference_steps=2)
    with user_error("^model: probabilities of .* are not numbers"):
        seen.heatmap("cat")


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
    with seediff.capture(pipe):
        pipe(prompt=PROMPT, **{**PIPELINES[name].call, **more})
    assert reads[0] > 0
    assert reads[1:] == [0, 0, 0]
