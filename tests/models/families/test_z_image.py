"""Z-Image's narrow twin: one stream, the picture first and filled up, a language model's template, prompts in the batch's first half."""

import numpy as np
import pytest
import torch
from builders.families import SPECS, check_refused, check_singles, generate, largest_difference, plain, spelled
from builders.language_twins import save_z_image

from seediff.attention.photograph import capture_clean, encode_images, run_clean
from seediff.config.constants import CaptureConfig
from seediff.errors import UserError
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec

N = 16 * 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_z_image(tmp_path_factory.mktemp("models") / "z-image")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


@pytest.mark.parametrize("guidance", [3.0, 0.0])
@pytest.mark.parametrize("capture", [CaptureConfig(), CaptureConfig(normalize=False), CaptureConfig(text_share="text")])
def test_maps_are_those_by_the_book(model, guidance, capture):
    assert [name.split(".")[0] for name in model.family.layers(model.network)] == ["noise_refiner"] * 2 + ["layers"] * 2
    assert largest_difference(model, capture=capture, guidance_scale=guidance) < 1e-5


def test_a_picture_that_is_filled_up(model):
    """100 positions are filled up to 128, which are no picture and no text, and are attended to."""
    assert largest_difference(model, size=40, capture=CaptureConfig(normalize=False)) < 1e-5
    maps = generate(model, size=40, capture=CaptureConfig(normalize=False), guidance_scale=0.0)[1][0]
    rows = maps.self_attention[10, 10].sum(1)
    assert 0 < float(rows.min()) <= float(rows.max()) < 1


@pytest.mark.parametrize(("guidance", "negative"), [(3.0, "a cat"), (3.0, "a cat" + " and a bus" * 20), (0.0, ""), (1.0, "")])
def test_the_picture_is_that_without_capture(model, guidance, negative):
    """1 is no guidance, which is 0 to the pipeline. A negative prompt may be longer than the prompt, and fill it up."""
    images, maps = generate(model, guidance_scale=guidance, negative_prompt=negative)
    more = {"negative_prompt": [negative] * 2} if guidance > 1 else {}
    assert np.array_equal(np.stack(images), plain(model, guidance_scale=guidance if guidance > 1 else 0.0, **more))
    assert (list(maps[0].self_attention), maps[0].latent_size) == ([(16, 16)], (16, 16))


def test_what_fills_up_a_batch_is_not_attended_to(model):
    specs = [SPECS[0], SampleSpec(1, ("cat",), "a photo of a cat" + " and a bus" * 20, 12)]
    maps = generate(model, specs, capture=CaptureConfig(normalize=False))[1]
    assert maps[0].cross_attention[16, 16].shape[1] == maps[1].cross_attention[16, 16].shape[1] > 64
    assert float(maps[0].cross_attention[16, 16][:, 32:].abs().max()) == 0
    assert float(maps[1].cross_attention[16, 16][:, 32:].min()) > 0


def test_an_image_does_not_depend_on_the_batch_without_guidance(model):
    check_singles(model, guidance_scale=0.0)


def test_words_within_the_template(model):
    assert spelled(model, SPECS[:2]) == [{"dog": "dog"}, {"cat": "cat", "pottedplant": "potted plant"}]
    maps = generate(model, [SampleSpec(0, ("dog", "bus"), "user: a dog and a bus", 0)])[1][0]
    assert [len(columns) for columns in maps.words.values()] == [3, 1]


def test_a_photograph_is_told_what_the_pipeline_tells(model):
    image = generate(model, SPECS[:1])[0][0]
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, args, _k: calls.append(args), with_kwargs=True)
    plain(model, guidance_scale=0.0)
    latents = encode_images(model, [image] * 2)
    run_clean(model, latents, [spec.prompt for spec in SPECS[:2]], timestep=100)
    condition = model.family.encode(model.pipe, ["a dog"], "cpu")
    predicted = model.family.denoise(model.pipe, latents[:1], 100, condition)
    handle.remove()
    for theirs, ours in zip(calls[0][2], calls[-2][2], strict=True):
        torch.testing.assert_close(ours, theirs)
    assert (calls[0][1].tolist(), calls[-2][1].tolist()) == ([0, 0], pytest.approx([0.9, 0.9]))  # the share of picture
    torch.testing.assert_close(torch.stack(calls[-2][0]).squeeze(2), latents)
    with torch.no_grad():
        torch.testing.assert_close(predicted[0], -model.network(*calls[-1]).sample[0].squeeze(1))
    config = model.pipe.vae.config
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = (model.pipe.vae.encode(pixels).latent_dist.mode() - config.shift_factor) * config.scaling_factor
    torch.testing.assert_close(latents[:1], expected)


def test_rows_of_a_clean_capture(model):
    latents = encode_images(model, generate(model, SPECS[:1])[0])
    maps = capture_clean(model, latents, timestep=300, kind="self")[0]
    torch.testing.assert_close(maps.self_attention[16, 16].sum(1), torch.ones(N))


def test_turbo(folder, tmp_path):
    from seediff.config.base import configure
    from seediff.config.generate import GenerateConfig

    config = configure(GenerateConfig, {"classes": ("dog",), "model": str(folder)})
    assert (config.steps, config.guidance_scale) == (50, 5.0)
    (tmp_path / "Z-Image-Turbo").symlink_to(folder, target_is_directory=True)
    config = configure(GenerateConfig, {"classes": ("dog",), "model": str(tmp_path / "Z-Image-Turbo")})
    assert (config.steps, config.guidance_scale) == (8, 0.0)
    turbo = load_model(config.model, device="cpu")
    with pytest.raises(
        UserError, match=r"guidance_scale = 5\.0: .*Z-Image-Turbo' is made to draw without guidance; use --guidance-scale 0"
    ):
        generate(turbo, guidance_scale=5.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 50}, "size = 50 must be a multiple of 4"),
        ({"size": 136}, "size = 136 must be at most 128"),
        (
            {"specs": [SampleSpec(0, ("dog",), "a dog" + " and so on" * 180, 0)]},
            r"the prompt has \d+ tokens and the model reads 512: these words would be cut off: '(and |so |on ?)+'; .* 'a dog",
        ),
    ],
)
def test_bad_input(model, options, message):
    check_refused(model, message, **options)
