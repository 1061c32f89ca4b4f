from functools import lru_cache
from inspect import signature
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from builders.clip_pipelines import CLIPS, PROMPT, animate, capture_spied, draw
from builders.families import check_words
from builders.refusals import user_error
from builders.same_maps import assert_same_maps

import seediff
from seediff.masks import clips
from seediff.models.families import network_family
from seediff.models.registry import load_model


@pytest.fixture(scope="module")
def made(sd1_model):
    """Name of a pipeline → it."""

    @lru_cache
    def make(name):
        pipe = CLIPS[name]() if name in CLIPS else animate(sd1_model.pipe)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AnimateDiff", *CLIPS])
def test_maps_are_of_what_attention_is_given(made, name):
    pipe, steps = made(name), 4 if name == "Wan 2.2" else 1  # both experts draw
    plain = draw(pipe, num_inference_steps=steps)
    clip, seen, difference = capture_spied(pipe, num_inference_steps=steps)
    assert np.array_equal(plain, clip)
    assert difference < 1e-6
    frames = clip.shape[1]
    assert seen.clips == [range(frames)]
    assert seen.prompts == [PROMPT] * frames
    assert {"cat", "potted", "plant"} <= set(seen.words[-1])
    assert all(np.array_equal(shown, (frame * 255).round()) for shown, frame in zip(seen.images, clip[0], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_words_have_the_columns_that_change_with_them(made, name):
    pipe = made(name)
    most = signature(pipe.__call__).parameters["max_sequence_length"].default

    def states(prompt):
        return pipe.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=most)[0][0]

    with torch.no_grad():
        check_words(network_family(pipe.transformer).readers(pipe), states)


@pytest.mark.slow
def test_frames_that_do_not_move_are_images(monkeypatch):
    """AnimateDiff on the embedded model, without motion: maps and masks are those of pictures of the same noise."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline(**load_model("mini", device="cpu").pipe.components)  # without mini's own constants
    still = animate(pipe, moves=False)
    noise = torch.randn(1, 4, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    given = {"num_inference_steps": 2, "output_type": "np", "height": 64, "width": 64}
    with seediff.capture(still) as seen:
        still("a dog", num_frames=3, latents=noise.clone(), **given)
    with seediff.capture(pipe) as alone:
        pipe(["a dog"] * 3, latents=noise[0].transpose(0, 1).clone(), **given)
    for frame, picture in zip(seen.maps, alone.maps, strict=True):
        assert_same_maps(frame, picture)
    shared = seen.clip_masks("dog")
    monkeypatch.setattr(clips, "ROUNDS", 0)
    for number, mask in enumerate(seen.clip_masks("dog")):
        other = alone.masks("dog", image=number)
        assert (mask.label_map != other.label_map).mean() < 1e-3
        assert 0 < mask.label_map.mean() < 1
        assert not torch.equal(shared[number].soft, mask.soft)


def test_masks_and_heat_maps_of_clips(made, monkeypatch):
    pipe, method = made("Wan 2.1"), Mock(wraps=clips.soft_masks)
    monkeypatch.setattr(clips, "soft_masks", method)
    with seediff.capture(pipe) as seen:
        draw(pipe, ["a cat", "a bus"])
        draw(pipe, "a cat", num_videos_per_prompt=2, num_frames=5)
    assert seen.clips == [range(9), range(9, 18), range(18, 23), range(23, 28)]
    assert seen.prompts == ["a cat"] * 9 + ["a bus"] * 9 + ["a cat"] * 10
    masks = seen.clip_masks("cat", beta=0.5)
    assert method.call_count == 3  # of the latent frames, which nine frames share
    assert [mask.label_map.shape for mask in masks] == [(64, 64)] * 9
    assert all(mask.pixels is shown for mask, shown in zip(masks, seen.images, strict=False))
    one = seen.masks("cat", beta=0.5, image=7)
    assert np.array_equal(one.label_map, masks[7].label_map)
    assert torch.equal(one.soft, masks[7].soft)
    assert len(seen.clip_masks("bus", clip=1)) == 9
    heats = [seen.heatmap("cat", number) for number in seen.clips[0]]
    assert len({heat.values.tobytes() for heat in heats}) == 9  # no two frames have the same
    for options, said in (
        ({"image": 28}, "^image: 28: 28 were drawn"),
        ({"image": 0, "pixels": seen.images[0]}, "^pixels: those of a clip are what"),
        ({"image": 9}, "^'cat' is not in"),
    ):
        with user_error(said):
            seen.masks("cat", **options)
