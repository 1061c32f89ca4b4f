"""FLUX.1's narrow twin: two streams and one, the text first, rotary positions, packed latents, guidance told to the network."""

import numpy as np
import pytest
import torch
from builders.families import SPECS, check_refused, generate, held_beyond_plain, largest_difference, plain
from builders.twins import save_flux
from diffusers import FlowMatchHeunDiscreteScheduler

from seediff.attention.photograph import capture_clean, encode_images, run_clean
from seediff.config.constants import CaptureConfig
from seediff.errors import UserError
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec

T5, N = 512, 16 * 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_flux(tmp_path_factory.mktemp("models") / "flux")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module")
def schnell(tmp_path_factory):
    return load_model(str(save_flux(tmp_path_factory.mktemp("models") / "schnell", guidance=False)), device="cpu")


@pytest.mark.parametrize("capture", [CaptureConfig(), CaptureConfig(normalize=False), CaptureConfig(text_share="text")])
def test_maps_are_those_by_the_book(model, capture):
    assert [name.split(".")[0] for name in model.family.layers(model.network)] == ["transformer_blocks"] * 2 + [
        "single_transformer_blocks"
    ] * 2
    assert largest_difference(model, capture=capture) < 1e-5


def test_the_picture_is_that_without_capture(model, schnell):
    images, maps = generate(model)
    assert np.array_equal(np.stack(images), plain(model, guidance_scale=3.0))
    assert (list(maps[0].self_attention), maps[0].cross_attention[16, 16].shape) == ([(16, 16)], (N, T5))
    assert np.array_equal(np.stack(generate(schnell, guidance_scale=0.0)[0]), plain(schnell, guidance_scale=0.0))


def test_guidance_is_told_to_the_network(model):
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, _a, kwargs: calls.append(kwargs), with_kwargs=True)
    weak, strong = generate(model, guidance_scale=1.0)[0], generate(model, guidance_scale=9.0)[0]
    handle.remove()
    assert [call["guidance"].tolist() for call in calls] == [[1.0, 1.0]] * 2 + [[9.0, 9.0]] * 2
    assert not np.array_equal(weak[0], strong[0])


def test_words_are_t5s_and_a_long_prompt_is_clips_affair(model):
    """CLIP's tokens are no columns: its pooled state may read less."""
    assert generate(model)[1][1].words == {"cat": (4,), "pottedplant": (7, 8, 9)}
    long = "a photo of a dog" + " and a cat" * 40
    maps = generate(model, [SampleSpec(0, ("dog",), long, 0)])[1][0]
    assert maps.words == {"dog": (4, 5, 6, 7)}


def test_a_photograph_is_packed_as_the_pipeline_packs(model):
    image = generate(model, SPECS[:1])[0][0]
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, _a, kwargs: calls.append(kwargs), with_kwargs=True)
    plain(model, guidance_scale=1.0)
    latents = encode_images(model, [image] * 2)
    run_clean(model, latents, [spec.prompt for spec in SPECS[:2]], timestep=100)
    handle.remove()
    theirs, ours = calls[0], calls[-1]
    for name in ("encoder_hidden_states", "pooled_projections", "txt_ids", "img_ids", "guidance"):
        torch.testing.assert_close(ours[name], theirs[name])
    pipe = model.pipe
    torch.testing.assert_close(ours["hidden_states"], pipe._pack_latents(latents, *latents.shape))
    assert ours["timestep"].tolist() == pytest.approx([0.1, 0.1])
    condition = model.family.encode(pipe, ["a dog", "a cat"], "cpu")
    with torch.no_grad():
        found = model.family.denoise(pipe, latents, 100, condition)
        packed = model.network(**{**ours, **condition})[0]
    torch.testing.assert_close(found, pipe._unpack_latents(packed, 64, 64, pipe.vae_scale_factor))


def test_rows_of_a_clean_capture(model):
    latents = encode_images(model, generate(model, SPECS[:1])[0])
    maps = capture_clean(model, latents, timestep=300, kind="self")[0]
    torch.testing.assert_close(maps.self_attention[16, 16].sum(1), torch.ones(N))


def test_the_authors_steps_and_guidance(folder, schnell):
    from seediff.config.base import configure
    from seediff.config.generate import GenerateConfig

    dev = configure(GenerateConfig, {"classes": ("dog",), "model": str(folder)})
    assert (dev.steps, dev.guidance_scale) == (28, 3.5)
    fast = configure(GenerateConfig, {"classes": ("dog",), "model": schnell.name})
    assert (fast.steps, fast.guidance_scale) == (4, 0.0)
    given = configure(GenerateConfig, {"classes": ("dog",), "model": str(folder), "guidance_scale": 2.0})
    assert given.guidance_scale == 2.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 50}, "size = 50 must be a multiple of 4"),
        ({"negative_prompt": "a cat"}, r"negative_prompt 'a cat': model '.*' reads none \(distilled guidance\); leave it out"),
        ({"specs": [SampleSpec(0, ("dog",), "a dog" + " and so on" * 90, 0)]}, "tokens and the model reads 512"),
    ],
)
def test_bad_input(model, options, message):
    check_refused(model, message, **options)


def test_a_scheduler_that_does_not_suit(folder):
    model = load_model(str(folder), device="cpu")
    model.pipe.scheduler = FlowMatchHeunDiscreteScheduler()
    with pytest.raises(UserError, match=r"the scheduler of model '.*' \(FlowMatchHeunDiscreteScheduler\) takes no noise levels"):
        generate(model)


def test_schnell_draws_without_guidance(schnell):
    with pytest.raises(UserError, match=r"guidance_scale = 3\.5: model '.*schnell' is made to draw without guidance"):
        generate(schnell, guidance_scale=3.5)


def test_what_capture_holds_does_not_grow_with_steps(model):
    """The maps of one image, from the first step on."""
    first, last = held_beyond_plain(model, 4)
    assert first >= 4 * N * (N + T5)
    assert last - first < 1000
