"""Stage 3 of the recipe: the trained parts as one diffusers pipeline folder in half precision, as Stable Diffusion is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL

from seediff.files.outputs import replaced_folder, write_new
from seediff.mini.scenes import CLASSES, PLACE_WORDS

from .loop import Student


def assemble(vae: AutoencoderKL, student: Student, scaling: float, folder: Path, about: dict) -> Path:
    """Write the pipeline to `folder` (replaced when it exists), fp16 safetensors, with what it knows in `seediff.json`.

    `about` is kept there too: samples seen, the recipe, whatever says how these weights came to be.
    """
    vae.register_to_config(scaling_factor=scaling)
    pipe = student.pipeline(vae)
    text = json.dumps(
        {"classes": list(CLASSES), "words": list(PLACE_WORDS), "licence": "MIT (art: Fluent Emoji, Microsoft)", **about}, indent=2
    )
    with replaced_folder(folder) as part:
        pipe.to(torch.float16).save_pretrained(part, safe_serialization=True)
        write_new(part / "seediff.json", f"{text}\n".encode())
    return folder
