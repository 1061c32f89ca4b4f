from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from builders.clip_pipelines import animate
from builders.refusals import user_error
from builders.same_maps import assert_same_maps
from builders.script_pipelines import PIPELINES

import seediff
from seediff.attention import calls
from seediff.attention.which_rows import Encoded, find_rows

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
    named = {"prompt": "a dog and a cat", "tokenizer": pipe.tokenizer, "states": texts[0]}
    with seediff.capture(pipe.unet, **named, normalize=False) as seen:
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
        assert seen.heatmap("dog").shape == (8, 8)
    with user_error("^a network alone: does not say which text is the prompt; name the encoded prompt"):
        seediff.capture(pipe.unet).__enter__()


def test_pictures_of_one_prompt(pipe):
    """Prompts that are equal, and several pictures of each prompt, in their order."""
    with seediff.capture(pipe, normalize=False) as seen:
        given = {"generator": [noise() for _ in range(6)], "num_images_per_prompt": 2, **HOW}
        pipe(["a dog and a cat", "a bus", "a bus"], **given)
    assert seen.prompts == ["a dog and a cat"] * 2 + ["a bus"] * 4
    assert_same_maps(seen.maps[0], seen.maps[1])
    assert_same_maps(seen.maps[2], seen.maps[5])


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


@pytest.mark.parametrize(
    ("kind", "batch", "found"),
    [
        ("named", "AXA", [0, 2]),
        ("named", "XX", []),
        ("one per picture", "XXAB", [2, 3]),
        ("one per picture", "AXBX", [0, 2]),
        ("one per picture", "BA", [0, 1]),
        ("one per picture", "XX", []),
        ("one per picture", "aB", "^1 rows of a batch of 2 have the prompt, for 2 images"),  # nearly A
        ("one per picture", "ABAB", "^4 rows of a batch of 4"),
    ],
)
def test_rows_of_a_batch_of_two_prompts(kind, batch, found):
    states = dict(zip("ABX", torch.randn(3, 5, 8, generator=noise()), strict=True))
    states["a"] = states["A"] * (1 + 1e-5)
    prompt = Encoded([states["A"], states["B"]], is_named=kind == "named")
    given = [states[text] for text in batch]
    if isinstance(found, str):
        with user_error(found):
            find_rows(prompt, given)
        return
    rows = find_rows(prompt, given)
    assert list(rows) == found
    assert all(batch[row] == "AB"[text] for row, text in rows.items())


def test_padding_that_was_cut_off():
    row, other = torch.randn(2, 5, 8, generator=noise())
    assert find_rows(Encoded([row[:3]]), [other, torch.cat([row, other])]) == {1: 0}
    assert find_rows(Encoded([row]), [row[:, :4]]) == {}


def test_states_that_stay_are_compared_once(pipe, monkeypatch):
    """Also those of clips, of which only each first frame's is compared: comparing waits for a GPU."""
    for draw in (pipe, partial(animate(pipe), num_frames=4)):
        compared = Mock(wraps=find_rows)
        monkeypatch.setattr(calls, "find_rows", compared)
        with seediff.capture(getattr(draw, "func", draw)):
            draw("a dog", **{**HOW, "num_inference_steps": 3})
        assert compared.call_count == 1


def test_a_prompt_that_is_changed_in_place(pipe):
    """It is another text from then on, and maps are of the steps before."""
    how = {**HOW, "num_inference_steps": 3, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}

    def change(_pipe, step, _time, tensors):
        if step == 0:
            tensors["prompt_embeds"] *= 2
        return tensors

    with seediff.capture(pipe, apart="step") as seen:
        pipe("a dog", generator=noise(), callback_on_step_end=change, **how)
    assert [*seen.maps_apart()] == ["0"]
    given, unwanted = pipe.encode_prompt("a dog", "cpu", 1, True)
    with seediff.capture(pipe, prompt="a dog", states=given) as seen:
        given *= 2
        pipe(prompt_embeds=given, negative_prompt_embeds=unwanted, generator=noise(), **HOW)
    with user_error("^the pipeline: 0 rows had the prompt"):
        seen.heatmap("dog")
