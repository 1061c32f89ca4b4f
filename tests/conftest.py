"""Tiny pipelines with random weights, saved as local diffusers folders: narrow twins of the structures that the package works on.

Each keeps the block types, layers, projections and heads of its original; only widths, depth of the text tower and sides are small.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

# These models are so small that threads only wait for each other: here, and in every process that a test starts.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported, by whatever imports it first


def _save(folder: Path, *, unet: Any, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Path:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def _stable_diffusion(folder: Path, *, heads: int | list[int], linear: bool, activation: str, text_layers: int) -> Path:
    """Latents of 16² (so maps of 16, 8, 4 and 2), images of 128²: a narrow twin of Stable Diffusion at 512²."""
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from seediff.mini.training.text import build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 77
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 64, 64),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        layers_per_block=2,
        cross_attention_dim=32,
        attention_head_dim=heads,  # the number of heads, under diffusers' historical name
        use_linear_projection=linear,
        norm_num_groups=8,
    )
    for weight in (p for n, p in unet.named_parameters() if "to_q" in n or "to_k" in n):
        weight.data *= 4  # untrained attention is all but uniform: sharpen it, so that maps differ
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        sample_size=128,
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=text_layers,
        num_attention_heads=4,
        hidden_act=activation,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
    )
    return _save(folder, unet=unet, vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, scheduler=scheduler)


@pytest.fixture(scope="session")
def sd1_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1.x: the same number of heads at every level, 1 × 1 convolutions around attention, CLIP ViT-L's text tower."""
    folder = tmp_path_factory.mktemp("models") / "sd1"
    return _stable_diffusion(folder, heads=8, linear=False, activation="quick_gelu", text_layers=3)


@pytest.fixture(scope="session")
def sd2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 2-base: heads of one width, so their number grows with the level, linear layers, OpenCLIP's text tower."""
    folder = tmp_path_factory.mktemp("models") / "sd2"
    return _stable_diffusion(folder, heads=[2, 4, 8, 8], linear=True, activation="gelu", text_layers=4)


@pytest.fixture(scope="session")
def mini_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model's structure: attention at 16, 8 and 4, images of 64², its own tokenizer and text encoder, known classes."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from seediff.mini.training.denoiser import build_scheduler
    from seediff.mini.training.text import build_text_encoder, build_tokenizer
    from seediff.mini.world.scene import CLASSES

    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 16, 32),
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=(1, 2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=64,
    )
    folder = tmp_path_factory.mktemp("models") / "mini"
    _save(folder, unet=unet, vae=vae, text_encoder=build_text_encoder(16, tokenizer), tokenizer=tokenizer, scheduler=build_scheduler())
    (folder / "seediff.json").write_text(json.dumps({"classes": list(CLASSES)}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def sd1_model(sd1_folder: Path):
    from seediff.models.registry import load_model

    return load_model(str(sd1_folder), device="cpu")


@pytest.fixture(scope="session")
def sd2_model(sd2_folder: Path):
    from seediff.models.registry import load_model

    return load_model(str(sd2_folder), device="cpu")


@pytest.fixture(scope="session")
def mini_model(mini_folder: Path):
    from seediff.models.registry import load_model

    return load_model(str(mini_folder), device="cpu")
