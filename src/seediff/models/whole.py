"""Whether weights were a whole model: libraries draw what a file lacks at random, and warn where nobody looks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.tensors import read_header
from .variants import PARTS, part_files

RENAMED = (
    (re.compile(r"^text_model\."), ""),
    (re.compile(r"\.query\."), ".to_q."),
    (re.compile(r"\.key\."), ".to_k."),
    (re.compile(r"\.value\."), ".to_v."),
    (re.compile(r"\.proj_attn\."), ".to_out.0."),
)
"""Names in older files, which diffusers and transformers read as newer ones: of the autoencoder's attention, and of text encoders."""


def check_whole(pipe: Any, folder: Path, variant: str | None, name: str) -> None:
    """Raise UserError naming the part and the first tensor that none of its weight files holds. folder: with all files of the pipeline."""
    for part in PARTS:
        held = {_newer(key) for file in part_files(folder, part, variant) for key in read_header(file).tensors}
        needed = list(getattr(pipe, part).state_dict())
        missing = [key for key in needed if _newer(key) not in held and not key.endswith("position_ids")]
        if missing:
            raise UserError(
                f"model '{name}': {len(missing)} of {len(needed)} tensors of its {part} are not in its weights, "
                f"the first {min(missing)}; get that folder again"
            )


def _newer(key: str) -> str:
    for old, new in RENAMED:
        key = old.sub(new, key)
    return key
