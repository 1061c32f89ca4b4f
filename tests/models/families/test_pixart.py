"""PixArt's narrow twins: a transformer with self- and cross-attention on one side, and masked padding."""

import numpy as np
import pytest
import torch
from builders.families import SPECS, check_refused, generate, largest_difference, plain
from builders.twins import save_pixart

from seediff.attention.photograph import capture_clean, denoising_errors, encode_images, run_clean
from seediff.config.constants import CaptureConfig
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec
from seediff.prompts.tokens import locate_columns


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_pixart(tmp_path_factory.mktemp("models") / "alpha")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module")
def sigma(tmp_path_factory):
    return load_model(str(save_pixart(tmp_path_factory.mktemp("models") / "sigma", sigma=True)), device="cpu")


@pytest.mark.parametrize("guidance", [3.0, 0.0])
@pytest.mark.parametrize("name", ["model", "sigma"])
def test_maps_are_those_by_the_book(name, guidance, request):
    one = request.getfixturevalue(name)
    assert largest_difference(one, guidance_scale=guidance) < 1e-5


@pytest.mark.parametrize(("guidance", "negative"), [(3.0, "a cat"), (0.0, "")])
def test_the_picture_is_that_without_capture(model, sigma, guidance, negative):
    for one in (model, sigma):
        images, _ = generate(one, guidance_scale=guidance, negative_prompt=negative)
        more = {"negative_prompt": [negative] * 2} if guidance else {}
        expected = plain(one, guidance_scale=guidance, clean_caption=False, use_resolution_binning=False, **more)
        assert np.array_equal(np.stack(images), expected)


def test_padding_is_not_attended_to(model, sigma):
    """`a photo of a dog` has nine tokens, the last of which ends it; the words are found in small letters."""
    for one, tokens in ((model, 120), (sigma, 300)):
        maps = generate(one, [SampleSpec(0, ("dog",), " A photo of a Dog", 1)], capture=CaptureConfig(normalize=False))[1][0]
        assert maps.words == {"dog": (4, 5, 6, 7)}
        assert maps.cross_attention[16, 16].shape == (256, tokens)
        assert float(maps.cross_attention[16, 16][:, 9:].max()) == 0
        torch.testing.assert_close(maps.cross_attention[16, 16].sum(1), torch.ones(256))


@pytest.mark.parametrize("prompt", ["a photo of a DOG", "İİİ a photo of a dog"])
def test_words_are_found_in_the_small_letters_that_are_read(model, prompt):
    """The small letter of İ is two characters long."""
    (columns,) = locate_columns(model.readers, prompt, ("dog",)).values()
    ids = model.pipe.tokenizer(prompt.lower()).input_ids
    assert model.pipe.tokenizer.decode([ids[column] for column in columns]).strip() == "dog"


def test_photographs(model):
    """The network's call is the pipeline's; of its prediction, the part that is the noise."""
    image = generate(model, SPECS[:1])[0][0]
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, _a, kwargs: calls.append(kwargs), with_kwargs=True)
    plain(model, guidance_scale=0.0, clean_caption=False, use_resolution_binning=False)
    latents = encode_images(model, [image] * 2)
    run_clean(model, latents, [spec.prompt for spec in SPECS[:2]], timestep=100)
    handle.remove()
    for name in ("encoder_hidden_states", "encoder_attention_mask"):
        torch.testing.assert_close(calls[-1][name], calls[0][name])
    assert calls[-1]["added_cond_kwargs"] == calls[0]["added_cond_kwargs"] == {"resolution": None, "aspect_ratio": None}
    assert denoising_errors(model, latents[0], ["a dog", "a cat"], timesteps=[400]).shape == (2, 1, 32, 32)
    clean = capture_clean(model, latents[:1], timestep=300, kind="self")[0]
    torch.testing.assert_close(clean.self_attention[16, 16].sum(1), torch.ones(256))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 60}, "size = 60 must be a multiple of 8"),
        ({"specs": [SampleSpec(0, ("dog",), "a dog" + " and so on" * 40, 0)]}, "tokens and the model reads 120"),
    ],
)
def test_bad_input(model, options, message):
    check_refused(model, message, **options)
