"""Sana's narrow twins: cross-attention alone, the prompt at the end of an instruction, an autoencoder of another kind."""

import json

import numpy as np
import pytest
import torch
from builders.command_line import runner
from builders.families import SPECS, check_refused, generate, largest_difference, plain, run_commands, spelled
from builders.language_twins import save_sana
from PIL import Image

from seediff.attention.photograph import encode_images, run_clean
from seediff.cli.commands import main
from seediff.config.constants import CaptureConfig, MaskConfig, SegmentConfig
from seediff.errors import UserError
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec
from seediff.segments.make import check_fits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_sana(tmp_path_factory.mktemp("models") / "sana")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """Sana 1.5, whose queries and keys are normalised."""
    return load_model(str(save_sana(tmp_path_factory.mktemp("models") / "newer", qk_norm="rms_norm_across_heads")), device="cpu")


@pytest.mark.parametrize("guidance", [3.0, 0.0])
@pytest.mark.parametrize("name", ["model", "newer"])
def test_maps_are_those_by_the_book(name, guidance, request):
    one = request.getfixturevalue(name)
    assert list(one.family.layers(one.network)) == ["transformer_blocks.0.attn2", "transformer_blocks.1.attn2"]
    assert largest_difference(one, guidance_scale=guidance) < 1e-5


@pytest.mark.parametrize(("guidance", "negative"), [(3.0, "a cat"), (0.0, "")])
def test_the_picture_is_that_without_capture(model, newer, guidance, negative):
    for one in (model, newer):
        images, maps = generate(one, guidance_scale=guidance, negative_prompt=negative)
        more = {"negative_prompt": [negative] * 2} if guidance else {}
        assert np.array_equal(np.stack(images), plain(one, guidance_scale=guidance, use_resolution_binning=False, **more))
        assert (maps[0].self_attention, maps[0].cross_attention[16, 16].shape) == ({}, (256, 300))


def test_words_at_the_end_of_an_instruction(model):
    (reader,) = model.readers
    specs = [SampleSpec(0, ("dog",), " A photo of a Dog", 1), SPECS[1]]
    assert spelled(model, specs, -reader.first) == [{"dog": "dog"}, {"cat": "cat", "pottedplant": "potted plant"}]
    maps = generate(model, specs, capture=CaptureConfig(normalize=False))[1]
    assert 0 < maps[0].words["dog"][0] < 10
    assert float(maps[0].cross_attention[16, 16][:, 20:].abs().max()) == 0  # padding is not attended to
    torch.testing.assert_close(maps[0].cross_attention[16, 16].sum(1), torch.ones(256))


def test_a_photograph_is_told_what_the_pipeline_tells(model):
    image = generate(model, SPECS[:1])[0][0]
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, args, kwargs: calls.append((args, kwargs)), with_kwargs=True)
    plain(model, guidance_scale=0.0, use_resolution_binning=False)
    latents = encode_images(model, [image] * 2)
    run_clean(model, latents, [spec.prompt for spec in SPECS[:2]], timestep=100)
    handle.remove()
    (_, theirs), ((seen,), ours) = calls[0], calls[-1]
    for name in ("encoder_hidden_states", "encoder_attention_mask"):
        torch.testing.assert_close(ours[name], theirs[name])
    assert ours["timestep"].tolist() == [100, 100]
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = model.pipe.vae.encode(pixels).latent * model.pipe.vae.config.scaling_factor
    torch.testing.assert_close(seen[:1], expected)


def test_noise_is_the_schedulers(model):
    """A level t of 1000 is a share t / 1000 of noise, as a scheduler of flow has it, whose sigmas are what the network is told."""
    scheduler = model.pipe.scheduler
    scheduler.set_timesteps(4)
    for sigma, timestep in zip(scheduler.sigmas, scheduler.timesteps, strict=False):
        a, b = model.family.mix(model.pipe, int(timestep))
        assert (b, a) == pytest.approx((float(sigma), 1 - float(sigma)), abs=1e-3)


def test_commands(folder, tmp_path):
    """Masks are made of cross-attention alone where no method is named."""
    run_commands(folder, tmp_path)
    assert 'method = "ca"' in (tmp_path / "set" / "seediff.toml").read_text(encoding="utf-8")
    row = json.loads((tmp_path / "masked" / "metadata.jsonl").read_text(encoding="utf-8"))
    assert set(row["presence"]) == {"dog", "cat"}


def test_methods_that_need_self_attention_say_so(folder, model, tmp_path, capsys):
    from seediff.cli.generate import generate as generate_command

    run = runner(generate_command)
    options = ("--classes", "dog", "--per-class", 1, "--model", folder, "--device", "cpu", "--size", 64, "--out", tmp_path / "set")
    why = "its self-attention is linear, which has no map"
    for method in ("seediff", "ca_sa", "reference"):
        for more in ((), ("--dry-run",)):
            with pytest.raises(UserError, match=rf"^method {method} needs maps of self-attention, which Sana lacks: {why}; use method ca$"):
                run("generate", *options, "--method", method, *more)
    assert not (tmp_path / "set").exists()
    for method in ("diffseg", "diffcut"):
        with pytest.raises(UserError, match=rf"^segments are made of self-attention, of which Sana has no maps: {why}; use another model$"):
            check_fits(model, SegmentConfig(method=method), 64)
    line = ["segment", str(tmp_path / "photo.png"), "--model", str(folder), "--out", str(tmp_path / "parts"), "--dry-run"]
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    assert main(line) == 2
    assert "segments are made of self-attention, of which Sana has no maps" in capsys.readouterr().err


def test_what_ablates_self_attention_works():
    from seediff.config.levels import reads_self_attention

    assert not reads_self_attention(MaskConfig(expansion="none", background=False))
    assert reads_self_attention(MaskConfig(expansion="none"))
    assert not reads_self_attention(MaskConfig(method="ca"))
    assert reads_self_attention(MaskConfig(method="ca_sa", expansion="none", background=False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 48}, "size = 48 must be a multiple of 32"),
        (
            {"specs": [SampleSpec(0, ("dog",), "A dog" + " and so on" * 180, 0)]},
            r"the prompt has \d+ tokens and the model reads \d+: these words would be cut off: '(and |so |on ?)+'; .* 'a dog",
        ),
    ],
)
def test_bad_input(model, options, message):
    check_refused(model, message, **options)
