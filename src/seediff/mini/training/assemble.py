"""Stage 3 of the recipe: the trained parts as one diffusers pipeline folder in half precision, as Stable Diffusion is shipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from ..world.scene import CLASSES, PLACE_WORDS
from .denoiser import Denoiser, build_scheduler


def assemble(vae: AutoencoderKL, denoiser: Denoiser, scaling: float, folder: Path, about: dict) -> Path:
    """Write the pipeline to `folder` (replaced when it exists), fp16 safetensors, with what it knows in `seediff.json`.

    `about` is kept there too: samples seen, the recipe, whatever says how these weights came to be.
    """
    vae.register_to_config(scaling_factor=scaling)
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=denoiser.text_encoder,
        tokenizer=denoiser.tokenizer,
        unet=denoiser.unet,
        scheduler=build_scheduler(),  # type: ignore[arg-type]
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(part, safe_serialization=True)
    text = json.dumps(
        {"classes": list(CLASSES), "words": list(PLACE_WORDS), "licence": "MIT (art: Fluent Emoji, Microsoft)", **about}, indent=2
    )
    (part / "seediff.json").write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder
