import numpy as np
import pytest
import torch
from builders.clip_pipelines import animate
from builders.clip_pipelines import draw as draw_clip
from builders.refusals import user_error
from builders.script_pipelines import PIPELINES

import seediff
from seediff.models.families.qwen_image import QWEN_IMAGE
from seediff.script.encodings import Encodings, NamedText, encode_texts

PROMPT, UNWANTED = "a photo of a cat and a potted plant", "a blurry cat"


def noise():
    return torch.Generator().manual_seed(4)


def made(loaded, name):
    pipe = PIPELINES[name].make(name, loaded(PIPELINES[name].twin).pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, name, **more):
    given = {**PIPELINES[name].call, "num_inference_steps": 1, "output_type": "np", "negative_prompt": UNWANTED, **more}
    return pipe(PROMPT, generator=noise(), **given).images


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionPipeline",
        "StableDiffusionXLPipeline",
        "ZImagePipeline",
        "FluxPipeline, true_cfg_scale",
    ],
)
def test_heat_maps_of_the_negative_prompt(loaded, name):
    """Of its own rows, or calls: those of the same network, given its states alone. Nothing else changes."""
    pipe = made(loaded, name)
    plain = draw(pipe, name)
    with seediff.capture(pipe) as usual:
        draw(pipe, name)
    with seediff.capture(pipe, negative=True) as seen:
        images = draw(pipe, name)
    assert np.array_equal(plain, images)
    assert np.array_equal(seen.heatmap("cat"), usual.heatmap("cat"))
    heat = seen.heatmap("blurry", of="negative")
    assert heat.shape == images[0].shape[:2]
    assert not np.array_equal(seen.heatmap("cat", of="negative"), seen.heatmap("cat"))
    negative = seen._pictures()[0].attention("negative").maps
    assert negative.prompt == UNWANTED
    assert not negative.self_attention
    if name == "StableDiffusionPipeline":
        states = encode_texts(seen._family, pipe, [UNWANTED])
        with seediff.capture(pipe.unet, states=states) as expected:
            draw(pipe, name)
        for grid, tensor in expected.maps[0].cross_attention.items():
            torch.testing.assert_close(negative.cross_attention[grid], tensor, atol=1e-6, rtol=0)
    with user_error("^'potted': is not in the prompt 'a blurry cat'"):
        seen.heatmap("potted", of="negative")
    with user_error(r"^of: 'negative': must be prompt, or negative in capture\(pipe, negative=True\)"):
        usual.heatmap("cat", of="negative")


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        (
            "StableDiffusionPipeline",
            {"negative_prompt": None},
            "^negative_prompt: is empty, or was not given as a text",
        ),
        ("StableDiffusionPipeline", {"guidance_scale": 1.0}, "^negative_prompt: no row of the .*draw without guidance"),
        (
            "StableDiffusionXLPipeline",
            {"negative_prompt_2": "a car"},
            "^negative_prompt_2: differs from negative_prompt",
        ),
        ("StableDiffusionInstructPix2PixPipeline", {}, "^negative_prompt: no row of the .*for each picture"),  # two
        ("Lumina2Pipeline", {}, "^negative_prompt: no row of the .*encoded as prompts are"),
    ],
)
def test_no_heat_maps_of_a_negative_prompt_that_is_not_read(loaded, name, more, said):
    pipe = made(loaded, name)
    with seediff.capture(pipe, negative=True) as seen:
        draw(pipe, name, **more)
    assert seen.heatmap("cat").shape == (64, 64)
    with user_error(said):
        seen.heatmap("cat", of="negative")


def test_what_has_no_negative_prompt(sd1_model):
    pipe = sd1_model.pipe
    with (
        user_error("^negative: keep='segments' captures no attention"),
        seediff.capture(pipe, negative=True, keep="segments"),
    ):
        pass
    with user_error("^negative: a network alone does not say"), seediff.capture(pipe.unet, negative=True):
        pass


def test_maps_of_the_negative_prompt_are_counted_in_memory(sd1_model, monkeypatch):
    pipe, how = sd1_model.pipe, {"height": 64, "width": 64, "num_inference_steps": 1}
    with seediff.capture(pipe, keep="ca", negative=True) as seen:
        needed = seen.expected(64, 64).map_bytes
        monkeypatch.setattr("seediff.script.run_checks.memory_bytes", lambda: int(1.5 * needed))
        with user_error("^the attention maps of 1 images"):
            pipe("a dog", negative_prompt="a bus", **how)


def test_several_pictures(sd1_model):
    """Each has its own negative prompt."""
    pipe, how = sd1_model.pipe, {"height": 64, "width": 64, "num_inference_steps": 1}
    with seediff.capture(pipe, negative=True) as seen:
        pipe(["a dog", "a cat"], negative_prompt=["a bus", "a car"], generator=noise(), **how)
    for image, word in enumerate(("bus", "car")):
        assert seen.heatmap(word, image=image, of="negative").shape == (64, 64)
    with user_error("^'car': is not in the prompt 'a bus'"):
        seen.heatmap("car", image=0, of="negative")


def test_clips(sd1_model):
    pipe = animate(sd1_model.pipe)
    with seediff.capture(pipe, negative=True) as seen:
        draw_clip(pipe, negative_prompt="a bus")
    heats = seen.heatmap("bus", of="negative")
    assert [heat.shape for heat in heats] == [(64, 64)] * 3
    assert not np.array_equal(heats[0], heats[2])


def test_a_negative_prompt_that_was_encoded_in_another_way_is_refused():
    """With pictures in the text, only the pipeline can encode it."""
    encodings = Encodings(QWEN_IMAGE, None, NamedText.of(QWEN_IMAGE, None, None, None), {})
    with user_error("negative_prompt: was not encoded as prompts are; give it as a text"):
        encodings.with_texts(["blurry"])
