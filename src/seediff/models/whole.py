"""Whether weights were a whole model: libraries draw what a file lacks at random, and warn where nobody looks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.tensors import read_header
from .variants import PARTS, part_files

RENAMED = (
    (re.compile(r"^text_model\."), ""),
    (re.compile(r"^(model\.)?(language_model\.)?"), ""),
    (re.compile(r"\.query\."), ".to_q."),
    (re.compile(r"\.key\."), ".to_k."),
    (re.compile(r"\.value\."), ".to_v."),
    (re.compile(r"\.proj_attn\."), ".to_out.0."),
)
"""Names in older files, which diffusers and transformers read as newer ones: of the autoencoder's attention, and of text
encoders, language models among them, whose files name the whole or the part that is read."""


def load_text_encoder(
    source: Path | str,
    files: Sequence[str],
    index: Mapping[str, Any],
    variant: str | None,
    dtype: Any,
    name: str,
    part: str = "text_encoder",
) -> dict[str, Any]:
    """`{part}=`, for a pipeline of a local folder or hub id with these files and this model_index.json; nothing where it names none.

    Loaded on its own because transformers then says which tensors it drew at random: also those that are in the file under names that
    the installed version does not read, as before 5.6 those that later ones write. Raises UserError naming the first.
    """
    import transformers

    library, kind = index.get(part) or (None, None)
    encoder_class = getattr(transformers, str(kind), None)
    if library != "transformers" or encoder_class is None:
        return {}  # loading the pipeline says it better
    has_variant = any(file.startswith(f"{part}/") and f".{variant}." in file for file in files)
    own = variant if has_variant else None  # a part without one is taken as it is
    encoder, info = encoder_class.from_pretrained(
        str(source), subfolder=part, variant=own, dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    needed = list(encoder.state_dict())
    missing = [key for key in info["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        raise UserError(_lacks(name, part, missing, needed))
    return {part: encoder}


def _lacks(name: str, part: str, missing: Sequence[str], needed: Sequence[str]) -> str:
    of = f"{len(missing)} of {len(needed)} tensors of its {part}"
    return f"model '{name}': {of} are not in its weights, the first {min(missing)}; get that folder again"


def check_whole(pipe: Any, folder: Path, variant: str | None, name: str, parts: Sequence[str] = PARTS) -> None:
    """Raise UserError naming the part and the first tensor that none of its weight files holds. folder: with all files of the pipeline."""
    for part in parts:
        held = {_newer(key) for file in part_files(folder, part, variant) for key in read_header(file).tensors}
        needed = getattr(pipe, part).state_dict()
        there = {tensor.data_ptr() for key, tensor in needed.items() if _newer(key) in held}  # a tensor of two names is held once
        absent = [key for key, tensor in needed.items() if _newer(key) not in held and tensor.data_ptr() not in there]
        missing = [key for key in absent if not key.endswith("position_ids")]
        if missing:
            raise UserError(_lacks(name, part, missing, needed))


def _newer(key: str) -> str:
    for old, new in RENAMED:
        key = old.sub(new, key)
    return key
