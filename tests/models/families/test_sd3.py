"""Stable Diffusion 3's narrow twin: joint attention, the picture first, three tokenizers, guidance as two halves."""

import dataclasses

import pytest
import torch
from builders.families import SPECS, assert_same_maps, check_refused, generate
from builders.plans import capturing
from builders.reference_attentions.sd3 import save_sd3

from seediff.attention.photograph import denoising_errors, encode_images
from seediff.config.constants import CaptureConfig, SegmentConfig
from seediff.config.levels import EVERYTHING, Reads
from seediff.errors import UserError
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec
from seediff.segments.make import check_fits

CLIP, T5, N = 77, 256, 16 * 16


def test_words_without_t5(tmp_path):
    """Without T5 its columns are zeros, which are attended to all the same."""
    old = load_model(str(save_sd3(tmp_path / "old", qk_norm=None, t5=False)), device="cpu")
    assert generate(old)[1][1].words == {"cat": (5,), "pottedplant": (8, 9)}


def test_words_in_three_tokenizers(model):
    """CLIP has a token for each; T5 has none for `dog` and two for `plant`."""
    maps = generate(model)[1]
    assert maps[0].words == {"dog": (5, CLIP + 4, CLIP + 5, CLIP + 6, CLIP + 7)}
    assert maps[1].words == {"cat": (5, CLIP + 4), "pottedplant": (8, 9, CLIP + 7, CLIP + 8, CLIP + 9)}
    ids = model.pipe.tokenizer_3("a photo of a dog").input_ids
    assert model.pipe.tokenizer_3.convert_ids_to_tokens(ids) == [
        "▁a",
        "▁photo",
        "▁of",
        "▁a",
        "▁",
        "d",
        "o",
        "g",
        "</s>",
    ]


def test_shares(model):
    """Of the whole row, picture and text sum to 1; of each block alone, so does each."""
    _, whole = generate(model, SPECS[:1], capture=CaptureConfig(normalize=False), steps=1)
    _, text = generate(model, SPECS[:1], capture=CaptureConfig(normalize=False, text_share="text"), steps=1)
    dual = {name for name in model.family.layers(model.network) if name.endswith("attn2")}
    assert dual == {"transformer_blocks.0.attn2"}
    assert float(whole[0].cross_attention[16, 16].sum(1).max()) < 1
    torch.testing.assert_close(text[0].cross_attention[16, 16].sum(1), torch.ones(N))


def test_text_alone_is_the_same_when_nothing_else_is_captured(model):
    latents = encode_images(model, generate(model, SPECS[:1])[0])
    found = []
    kinds: tuple[Reads, ...] = ({"cross": None}, EVERYTHING)
    for reads in kinds:
        with (
            capturing(model.network, CaptureConfig(text_share="text"), reads=reads, guidance=False) as recorder,
            torch.no_grad(),
        ):
            condition = model.family.encode(model.pipe, ["a dog"], "cpu")
            model.family.denoise(model.pipe, latents, 200, condition)
        found.append(recorder.maps([{}], ["a dog"])[0].cross_attention[16, 16])
    torch.testing.assert_close(*found, atol=1e-6, rtol=0)


def test_latents_and_noise_are_the_pipelines(model):
    """Decoding undoes encoding's shift and scale; a level t of 1000 is a share t / 1000 of noise, which is what the
    network is told.
    """
    image = generate(model, SPECS[:1])[0][0]
    latents = encode_images(model, [image])
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    config = model.pipe.vae.config
    with torch.no_grad():
        expected = (model.pipe.vae.encode(pixels).latent_dist.mode() - config.shift_factor) * config.scaling_factor
    torch.testing.assert_close(latents, expected)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    a, b = model.family.mix(model.pipe, 250)
    by_scheduler = model.pipe.scheduler
    by_scheduler.sigmas, by_scheduler.timesteps = torch.tensor([0.25, 0.0]), torch.tensor([250.0])
    torch.testing.assert_close(a * latents + b * noise, by_scheduler.scale_noise(latents, torch.tensor([250.0]), noise))
    assert denoising_errors(model, latents[0], ["a dog", "a cat"], timesteps=[400, 600]).shape == (2, 2, 32, 32)


def test_fused_projections_are_refused(tmp_path):
    old = load_model(str(save_sd3(tmp_path / "old", qk_norm=None)), device="cpu")
    old.network.fuse_qkv_projections()
    with pytest.raises(UserError, match=r"transformer_blocks\.0\.attn computed no queries of its own"):
        generate(old, SPECS[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"specs": [SampleSpec(0, ("dog",), "a dog" + " and so on" * 40, 0)]},
            "the prompt has .* tokens and the model reads 77",
        ),
        (
            {"specs": [SampleSpec(0, ("dog",), "dog " * 70, 0)]},
            "has 281 tokens and the model reads 256",
        ),  # of T5; 72 of CLIP's
    ],
)
def test_bad_input(model, options, message):
    check_refused(model, message, **options)


def test_what_a_transformer_has_not(model):
    with pytest.raises(UserError, match="diffcut: divides the features of a UNet's encoder"):
        check_fits(model, SegmentConfig(method="diffcut"), None)
    up = generate(model, SPECS[:1], capture=CaptureConfig(layers="up"))[1][0]
    assert_same_maps(up, generate(model, SPECS[:1])[1][0], 0)


def test_a_scheduler_without_noise_levels(model):
    from types import SimpleNamespace

    pipe = SimpleNamespace(scheduler=SimpleNamespace(), vae_scale_factor=2)
    other = dataclasses.replace(model, pipe=pipe)
    from seediff.attention.photograph import check_schedule

    with pytest.raises(UserError, match="has no noise schedule"):
        check_schedule(other, [100])


def test_text_share_is_an_option(folder, tmp_path, capsys):
    from seediff.cli.commands import main

    line = ["generate", "--model", str(folder), "--classes", "dog", "--out", str(tmp_path / "set"), "--dry-run"]
    assert main([*line, "--text-share", "text"]) == 0
    shown = capsys.readouterr().out
    assert "capture.text_share" in next(line for line in shown.splitlines() if line.startswith("Given: "))
    assert "Capture: 3 layers of joint attention, 1 layer of self-attention, at L of 16×16" in shown
    assert "Constants: those of masks were never tuned for Stable Diffusion 3 and 3.5; they are the papers'" in shown
    assert main(line) == 0
    assert 'capture.text_share = "text"' not in capsys.readouterr().out
    assert main([*line, "--text-share", "words"]) == 2
