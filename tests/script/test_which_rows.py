import inspect
from types import SimpleNamespace

import pytest
import torch
from builders.refusals import user_error
from builders.same_maps import assert_same_maps
from builders.script_pipelines import PIPELINES

import seediff
from seediff.models.families.unet import SD
from seediff.script.which_rows import Encoded, find_rows

HOW = {"height": 64, "width": 64, "num_inference_steps": 1, "output_type": "np"}
STEPS = (900, 100)


@pytest.fixture(scope="module")
def pipe(sd1_model):
    return sd1_model.pipe


def noise():
    return torch.Generator().manual_seed(4)


def loop(pipe, *calls):
    """A picture in a loop of one's own. calls: the text states of each call of the network at a step."""
    latents = torch.randn(1, 4, 8, 8, generator=noise())
    with torch.no_grad():
        for level in STEPS:
            for states in calls:
                pipe.unet(latents.expand(len(states), -1, -1, -1), level, encoder_hidden_states=states)
    return SimpleNamespace(images=None)


def encode(pipe, text):
    return pipe.encode_prompt(text, "cpu", 1, False)[0]


@pytest.fixture(scope="module")
def texts(pipe):
    """The prompt, the empty text and another one."""
    return [encode(pipe, text) for text in ("a dog and a cat", "", "a photo")]


@pytest.fixture(scope="module")
def right(pipe, texts):
    """The maps of the prompt in a call of its own."""
    with seediff.capture(pipe.unet, prompt="a dog and a cat", tokenizer=pipe.tokenizer, normalize=False) as seen:
        loop(pipe, texts[0])
    return seen.maps[0]


LOOPS = {
    "two calls, without first": ([1], [0]),
    "two rows": ([1, 0],),
    "rows in two places": ([0, 1, 0, 2],),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_of_ones_own(pipe, texts, right, name):
    """What the loop encodes says which rows have the prompt; without it, several texts are refused."""
    calls = [torch.cat([texts[number] for number in rows]) for rows in LOOPS[name]]
    named = {"prompt": "a dog and a cat", "tokenizer": pipe.tokenizer, "normalize": False}
    for states in texts[0], [texts[0][0]]:
        with seediff.capture(pipe.unet, **named, states=states) as seen:
            loop(pipe, *calls)
        assert seen.prompts == ["a dog and a cat"] * sum(rows.count(0) for rows in LOOPS[name])
        for maps in seen.maps:
            assert_same_maps(maps, right)
    said = r"several texts, and which is the prompt is unknown; name the encoded prompt.*, states=.*tokenizer="
    with user_error(said), seediff.capture(pipe.unet, **named) as seen:
        loop(pipe, *calls)
        seen.heatmap("dog")


def test_states_that_a_network_is_never_given(pipe, texts):
    with seediff.capture(pipe.unet, prompt="a bus", states=texts[2]) as seen:
        loop(pipe, texts[0])
    with user_error("^states: no call of the network was given them"):
        seen.heatmap((1,))


def made(pipe, kind):
    parts = {name: part for name, part in pipe.components.items() if name in inspect.signature(kind).parameters}
    made = kind(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


EDITS = {
    "edit_warmup_steps": [2],
    "edit_guidance_scale": [5.0],
    "edit_threshold": [0.9],
    "reverse_editing_direction": [False],
    "editing_prompt": ["glasses"],
}


def test_a_pipeline_whose_batch_has_more_than_the_prompts_two_rows(pipe):
    from diffusers import SemanticStableDiffusionPipeline

    prompt, other = "a dog and a cat", made(pipe, SemanticStableDiffusionPipeline)
    with seediff.capture(other.unet, normalize=False, states=encode(pipe, prompt)) as expected:
        other(prompt, generator=noise(), **HOW, **EDITS)
    for named in ({}, {"prompt": prompt}):
        with seediff.capture(other, normalize=False, **named) as seen:
            other(prompt, generator=noise(), **HOW, **EDITS)
        assert (seen.prompts, seen.words) == ([prompt], [("dog", "cat")])
        assert_same_maps(seen.maps[0], expected.maps[0])


def own_kind(pipe, order, *, through=False):
    """A pipeline that encodes without `encode_prompt`. order: of a batch's rows: the prompt's (0) or the empty text's.
    through: it has the method, and does not use it."""

    class Own:
        unet, tokenizer, text_encoder, components = pipe.unet, pipe.tokenizer, pipe.text_encoder, {}

        def __call__(self, prompt=None, text=None):
            both = encode_alone(self, prompt or text), encode_alone(self, "")
            return loop(self, torch.cat([both[number] for number in order]))

    class Through(Own, type(pipe)):
        pass

    return made(pipe, Through) if through else Own()


def encode_alone(pipe, text):
    with torch.no_grad():
        tokens = pipe.tokenizer(text, padding="max_length", return_tensors="pt", max_length=77, truncation=True)
        return pipe.text_encoder(tokens.input_ids)[0]


@pytest.mark.parametrize(("order", "through"), [((0, 1, 1), False), ((0,), True)])
def test_pipelines_that_encode_by_themselves(pipe, right, order, through):
    """The call's prompt, or the named one, is encoded once more to be found."""
    own = own_kind(pipe, order, through=through)
    text = "a dog and a cat"
    for named, given in (({}, {"prompt": text}), ({"prompt": text}, {"text": text})):
        with seediff.capture(own, normalize=False, **named) as seen:
            own(**given)
        (maps,) = seen.maps
        assert_same_maps(maps, right)
    with user_error("no encode_prompt encoded the text, .*; name the text"), seediff.capture(own):
        own(text="a dog")
    said = r"the network was given no text that equals .*; name the encoded prompt .*states=prompt_embeds\)$"
    with user_error(said), seediff.capture(own, prompt="a bus"):
        own(text="a dog")
    with seediff.capture(own, prompt="a bus", states=encode(pipe, "a dog")) as seen:  # as it says
        own(text="a dog")
    assert seen.words == [("bus",)]


def test_pictures_of_one_prompt(pipe):
    """Prompts that are equal, and several pictures of each prompt, in their order."""
    with seediff.capture(pipe, normalize=False) as seen:
        given = {"generator": [noise() for _ in range(6)], "num_images_per_prompt": 2, **HOW}
        pipe(["a dog and a cat", "a bus", "a bus"], **given)
    assert seen.prompts == ["a dog and a cat"] * 2 + ["a bus"] * 4
    assert_same_maps(seen.maps[0], seen.maps[1])
    assert_same_maps(seen.maps[2], seen.maps[5])


EQUAL = "^negative_prompt: equals a prompt, so .* unknown; give another one"


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "ZImagePipeline", "FluxPipeline, true_cfg_scale"])
def test_a_negative_prompt_that_is_a_prompt(loaded, name):
    """In a half of the batch, or in the second of two calls: the family says where, for its own pipelines."""
    pipe = loaded(PIPELINES[name].twin).pipe

    def draw(prompts, unwanted, steps=1, **more):
        noises = [torch.Generator().manual_seed(number) for number in range(len(prompts))]
        how = {**PIPELINES[name].call, **HOW, "num_inference_steps": steps, "negative_prompt": unwanted}
        with seediff.capture(pipe, normalize=False, **more) as seen:
            pipe(list(prompts), generator=noises, **how)  # Z-Image changes the list
        return seen

    prompts = ["a dog", "a bus"]
    expected = draw(prompts, ["a car", "a car"]).maps  # one step's attention does not depend on it
    for maps, right in zip(draw(prompts, ["a cat", "a dog"]).maps, expected, strict=True):
        assert_same_maps(maps, right, atol=1e-6)
    seen = draw([""], [""], steps=3)
    assert (seen.prompts, seen._runs()[0].steps, len(seen.maps)) == ([""], draw(["a dog"], [""], 3)._runs()[0].steps, 1)
    with user_error(EQUAL):
        draw(["a dog"], ["a dog"], negative=True)


def test_equal_rows_in_an_order_of_ones_own(pipe):
    """As of InstructPix2Pix, LEDITS++ and copies of perturbed-attention guidance, whatever the class is called."""
    name = "StableDiffusionInstructPix2PixPipeline"
    told = PIPELINES[name].make(name, pipe)
    with user_error("^3 rows of a batch of 3 have the prompt, .* is unknown"), seediff.capture(told):
        told("a dog", negative_prompt="a dog", **{**PIPELINES[name].call, "num_inference_steps": 1})

    class StableDiffusionPipeline(type(pipe)):
        def __call__(self, prompt, negative_prompt=""):
            wanted, unwanted = self.encode_prompt(prompt, "cpu", 1, True, negative_prompt)
            return loop(self, torch.cat([wanted, unwanted]))

    own = made(pipe, StableDiffusionPipeline)
    with user_error(EQUAL), seediff.capture(own):
        own("")


def test_prompts_that_are_nearly_equal_in_another_order():
    generator = torch.Generator().manual_seed(0)
    first, other = torch.randn(2, 77, 64, generator=generator)
    second = first + 6e-4 * torch.randn(77, 64, generator=generator)
    prompts = Encoded([first, second])
    assert find_rows(prompts, [other, other, first, second], SD, was_seen=False) == {2: 0, 3: 1}
    with user_error("which of them draw the pictures is unknown"):
        find_rows(prompts, [other, other, second, first], SD, was_seen=False)


def test_lists_of_states(loaded):
    """Z-Image repeats each prompt's state for its images, and may be given states alone."""
    pipe = loaded("z_image").pipe
    given = {**PIPELINES["ZImagePipeline"].call, "num_inference_steps": 1, "output_type": "np"}
    states, unwanted = pipe.encode_prompt(["a cat", "a large potted plant"], negative_prompt=["", ""])
    with seediff.capture(pipe) as seen:
        pipe(["a cat", "a large potted plant"], num_images_per_prompt=2, **given)
        pipe(prompt_embeds=states, negative_prompt_embeds=unwanted, **given)
    assert seen.prompts == ["a cat"] * 2 + ["a large potted plant"] * 2 + ["", ""]
    assert seen.image_numbers == [range(4), range(4, 6)]


def test_how_near_a_state_must_be():
    row, other = torch.randn(2, 5, 8, generator=noise())
    away = torch.zeros_like(row)
    away[0, 0] = row.norm()
    for states, found in (
        ([row, other], [0]),
        ([other, row + 5e-4 * away, row + 5e-4 * away], [1, 2]),
        ([row + 2e-3 * away, other], []),
        ([row, row + 5e-4 * away], [0]),
        ([row[:3], torch.cat([row, other])], [0, 1]),  # padding was cut off, or added
        ([row.half(), row[:, :4]], [0]),
        ([torch.full_like(row, torch.nan)], []),
    ):
        prompt = Encoded([row.half() if states[0].dtype == torch.half else row], rule="any")
        assert [*find_rows(prompt, states, SD, was_seen=False)] == found
    with user_error("^two texts of a batch are about equally near"):
        find_rows(prompt, [row + 2e-4 * away, row + 5e-4 * away], SD, was_seen=False)
    layered = torch.randn(2, 5, 3, 8, generator=noise())  # a state for each layer of the text encoder
    prompt = Encoded(list(layered), rule="any")
    assert find_rows(prompt, layered.flip(0), SD, was_seen=False) == {0: 1, 1: 0}


@pytest.mark.parametrize(
    ("kind", "batch", "found"),
    [
        ("any", "AXA", [0, 2]),
        ("all", "AB", [0, 1]),
        ("all", "AX", "several texts"),
        ("one per picture", "XXAB", [2, 3]),
        ("one per picture", "AXBX", [0, 2]),  # copies, in another order than the family's
        ("one per picture", "axbX", "^2 rows of a batch of 4"),  # no copies
        ("one per picture", "XXab", [2, 3]),
        ("one per picture", "ab", [0, 1]),
        ("one per picture", "NN", []),
        ("one per picture", "XX", "no text that equals"),
        ("one per picture", "BA", "^2 rows of a batch of 2.*; draw one at a time$"),
        ("one per picture", "BX", "^1 rows of a batch of 2"),
        ("one per picture", "ABAB", "^4 rows of a batch of 4"),
        ("in order", "ABAB", [2, 3]),
        ("in order", "XAAB", [2, 3]),
        ("in order", "AB", [0, 1]),
        ("in order", "ABABAB", "^6 rows of a batch of 6"),
        ("in order", "ABXX", [0, 1]),
    ],
)
def test_rows_of_a_batch_of_two_prompts(kind, batch, found):
    """A and B are the prompts, a and b nearly; N is another encoded text, X one that was not encoded. in order: one per
    picture, in a pipeline whose order the family knows."""
    states = dict(zip("ABNX", torch.randn(4, 5, 8, generator=noise()), strict=True))
    states |= {name.lower(): states[name] * (1 + 1e-5) for name in "AB"} | {"x": states["X"]}
    in_order = kind == "in order"
    prompt = Encoded([states["A"], states["B"]], {}, [states["N"]], "one per picture" if in_order else kind)
    given = [states[text] for text in batch]
    if isinstance(found, str):
        with user_error(found):
            find_rows(prompt, given, SD, was_seen=False, knows_order=in_order)
        return
    rows = find_rows(prompt, given, SD, was_seen=False, knows_order=in_order)
    assert list(rows) == found
    assert all(batch[row].upper() == "AB"[text] for row, text in rows.items())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_prompts_tensor_that_is_changed_in_place(pipe, texts, mode):
    """What it was counts, also where PyTorch counts no changes."""
    with mode():
        states = texts[0].clone()
        with seediff.capture(pipe.unet, states=states) as seen:
            for level, change in ((500, 1.0), (400, 1.1)):
                states *= change
                pipe.unet(torch.randn(1, 4, 16, 16, generator=noise()), level, encoder_hidden_states=states)
            assert seen._runs()[0].steps == 1


def test_states_that_are_changed_in_place(pipe):
    """A loop of one's own that writes the prompt's states into the tensor that had others."""
    width = pipe.unet.config.cross_attention_dim
    prompt, other = torch.randn(1, 77, width), torch.randn(1, 77, width)
    latents, states = torch.randn(1, 4, 16, 16), other.clone()
    with seediff.capture(pipe.unet, prompt="a dog", tokenizer=pipe.tokenizer, states=prompt) as seen, torch.no_grad():
        pipe.unet(latents, 500, encoder_hidden_states=states)
        states.copy_(prompt)
        pipe.unet(latents, 400, encoder_hidden_states=states)
    with seediff.capture(pipe.unet, prompt="a dog", tokenizer=pipe.tokenizer, states=prompt) as alone, torch.no_grad():
        pipe.unet(latents, 400, encoder_hidden_states=prompt)
    assert_same_maps(seen.maps[0], alone.maps[0], atol=0)
