"""Which weights are refused: of another network or number format, in each kind of file that tensors are read from."""

import shutil
from pathlib import Path

import pytest
import torch
from builders.refusals import user_error
from builders.single_files import NETWORK, configure, rewrite, single_file
from safetensors.torch import save_file

from seediff.models.registry import load_model
from seediff.models.weights import check_tensors


@pytest.mark.parametrize(
    ("part", "missing", "unexpected", "outcome"),
    [
        *((part, "", "extra.weight", "extra.weight") for part in ("unet", "transformer", "segmenter", "")),
        *((part, "fc.weight", "", "fc.weight") for part in ("unet", "vae", "text_encoder_2", "backbone")),
        ("vae", "", "loss.logvar model_ema.a", ""),
        ("text_encoder_2", "", "layers.9.fc.weight vision_model.a logit_scale lm_head.weight position_ids", ""),
        ("text_encoder", "", "layers.0.lora_A.weight", "layers.0.lora_A.weight"),
        ("text_encoder", "", "tower.weight_scale", "tower.weight_scale"),
        ("backbone", "decode_head.a hidden_states_norms.b", "classifier.weight", ""),
    ],
)
def test_what_is_missing_or_left_over(part, missing, unexpected, outcome):
    info = {"missing_keys": missing.split(), "unexpected_keys": unexpected.split(), "mismatched_keys": ()}
    if not outcome:
        return check_tensors(info, part, "here", ())
    with user_error(f"^here: its weights are not those of its network: 1 tensor, the first {outcome}"):
        check_tensors(info, part, "here", ())


def first(tensors, start=""):
    return next(name for name in sorted(tensors) if name.startswith(start) and tensors[name].ndim > 1)


def scaled(start=""):
    def change(tensors):
        name = first(tensors, start)
        small = tensors[name].to(torch.float8_e4m3fn)
        return {**tensors, name: small, f"{name.removesuffix('weight')}scale_weight": torch.ones(1)}

    return change


def integers(tensors):
    return {**tensors, first(tensors): tensors[first(tensors)].to(torch.int8)}


def published(change):
    """The text encoder's names as files have them, after a change."""
    return lambda tensors: {f"text_model.{name}": tensor for name, tensor in change(tensors).items()}


@pytest.fixture
def folder(twin, tmp_path):
    return Path(shutil.copytree(twin("unet"), tmp_path / "model"))


def refused(match, path, **options):
    with user_error(match):
        load_model(str(path), device="cpu", **options)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_folders(part, folder):
    (file,) = (folder / part).glob("*.safetensors")
    for change, match in ((scaled(), "scale_weight"), (integers, "not those of its network: 1 tensor")):
        sound = file.read_bytes()
        rewrite(file, published(change) if part == "text_encoder" else change)
        refused(match, folder)
        if part == "unet":
            refused(match, folder / "unet", base=str(folder))
        file.write_bytes(sound)


@pytest.mark.slow
@pytest.mark.parametrize("start", [NETWORK, "first_stage_model.", "cond_stage_model.transformer."])
def test_single_files(start, folder, tmp_path):
    save_file(scaled(start)(single_file(folder, "unet")), path := tmp_path / "tuned.safetensors")
    refused("scale_weight", path, base=str(folder))
    save_file(integers(single_file(folder, "unet")), path)
    refused("not those of its network: 1 tensor", path, base=str(folder))


def test_loras(folder, tmp_path):
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_"
    tensors = {f"{layer}A.weight": torch.ones(2, 64), f"{layer}B.weight": torch.ones(64, 2)}
    save_file(scaled()(tensors), path := tmp_path / "lora.safetensors")
    refused("scale_weight", folder, lora=str(path))


def test_what_only_training_read_and_other_heads_load_silently(folder, tmp_path):
    more = {
        "first_stage_model.loss.discriminator.main.0.weight": torch.ones(2, 2),
        "first_stage_model.loss.discriminator.main.3.num_batches_tracked": torch.tensor(3),
        "cond_stage_model.transformer.logit_scale": torch.ones(()),
        "model_ema.num_updates": torch.tensor(3, dtype=torch.int32),
    }
    save_file(single_file(folder, "unet") | more, path := tmp_path / "tuned.safetensors")
    load_model(str(path), base=str(folder), device="cpu")


def test_sdxls_photographs_are_scaled_as_the_pipeline_scales_back(twin, tmp_path):
    folder = Path(shutil.copytree(twin("xl"), tmp_path / "model"))
    statistics = {"latents_mean": [-1.6, 1.1, 0.2, -0.3], "latents_std": [8.4, 5.9, 3.3, 4.8], "scaling_factor": 0.5}
    configure(folder / "vae/config.json", **statistics)
    model = load_model(str(folder), device="cpu")
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    latents = model.family.latents(model.pipe, pixels)
    mean, deviation = (torch.tensor(statistics[key]).view(1, 4, 1, 1) for key in ("latents_mean", "latents_std"))
    back = latents * deviation / 0.5 + mean  # pipeline_stable_diffusion_xl.py
    torch.testing.assert_close(back, model.pipe.vae.encode(pixels).latent_dist.mean)
