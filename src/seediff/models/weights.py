"""Chooses which of a model's weight files are loaded, and loads its parts whole: libraries would initialise missing
weights at random and only log a warning."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.tensors import read_header
from .trust import OWN_ATTENTION

PREFERRED: dict[str, tuple[str | None, ...]] = {
    "float32": (None, "fp16", "bf16"),
    "float16": ("fp16", None, "bf16"),
    "bfloat16": ("bf16", "fp16", None),
}
"""diffusers' `variant`s for each number format, the best first; None: files without a variant, usually in float32."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Of a number."""
SMALL = (".json", ".txt", ".model", ".jinja")
"""Suffixes of the other files of a part that are read."""

_WEIGHTS = re.compile(
    r"(?P<part>[^/]+)/(diffusion_pytorch_)?model(\.(?P<variant>\w+))?(-\d{5}-of-\d{5}(\.(?P<old>\w+))?)?\.safetensors"
)


def variants(files: Iterable[str], part: str) -> dict[str, str | None]:
    """A part's weight files → their variant. files: paths in the pipeline's folder."""
    matches = [match for match in map(_WEIGHTS.fullmatch, files) if match and match["part"] == part]
    return {match[0]: match["variant"] or match["old"] for match in matches}


def choose_variant(held: Collection[str | None], dtype: str) -> str | None:
    """The variant to load in the number format `dtype`, of those that a part has; None also if it has no weights;
    loading then reports what is missing."""
    return next((variant for variant in PREFERRED[dtype] if variant in held), None)


def is_enough(files: Collection[str], parts: Iterable[str], dtype: str) -> bool:
    """Whether nothing needs to be downloaded: all parts have the best variant, or files without a variant (usually
    float32), which convert to any half precision. Half precision is not enough for float32, because the result would
    then depend on earlier downloads."""
    return all({PREFERRED[dtype][0], None} & set(variants(files, part).values()) for part in parts)


def needed_files(files: Collection[str], listed: Iterable[str], parts: Iterable[str], dtype: str) -> list[str]:
    """Those of a hub id's files that are loaded. listed: all parts. parts: those whose weights are loaded."""
    places = {*listed, "model_index.json"}
    needed = [file for file in files if file.partition("/")[0] in places and file.endswith(SMALL)]
    for part in parts:
        held = variants(files, part)
        chosen = choose_variant({*held.values()}, dtype)
        needed += [file for file, variant in held.items() if variant == chosen]
    return needed


def folder_files(folder: Path, parts: Iterable[str]) -> list[str]:
    """The weight files of a local pipeline, as paths relative to its folder."""
    paths = chain.from_iterable((folder / part).glob("*.safetensors") for part in parts)
    return sorted(f"{path.parent.name}/{path.name}" for path in paths)


def part_bytes(folder: Path, part: str, dtype: str) -> int:
    """Bytes of a part's weights in a number format; 0 if none are here. Raises UserError for files that cannot be
    read."""
    held = variants(folder_files(folder, [part]), part)
    chosen = choose_variant(held.values(), dtype)
    return sum(file_bytes(folder / file, dtype) for file, variant in held.items() if variant == chosen)


def file_bytes(path: Path, dtype: str) -> int:
    """Bytes of a file's tensors in a number format, counted in its header; those of a GGUF file stay as they are.
    Raises UserError."""
    if path.suffix == ".gguf":
        return path.stat().st_size
    return BYTES[dtype] * sum(math.prod(tensor.shape) for tensor in read_header(path).tensors.values())


def load_part(kind: Any, folder: Path, part: str, dtype: str, name: str) -> Any:
    """A part with weights, of the library's class `kind`, from a pipeline's folder. name: the model's, for messages.
    Raises UserError naming the first tensor that is missing."""
    import torch

    loaded, info = kind.from_pretrained(
        str(folder),
        subfolder=part,
        variant=choose_variant(variants(folder_files(folder, [part]), part).values(), dtype),
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        output_loading_info=True,
        **(OWN_ATTENTION if kind.__module__.startswith("transformers.") else {}),
    )
    missing = [key for key in info["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        of = f"{len(missing)} of {len(loaded.state_dict())} tensors in its {part}"
        problem = f"{name}: {of} are missing from its weights, the first {min(missing)}"
        raise UserError("model", problem, "download it again")
    return loaded


def all_finite(tensor: Any) -> bool:
    """Whether all values are numbers; their bounds tell it in a tenth of the time of `isfinite`, for NaN is both."""
    return not tensor.numel() or all(bool(bound.isfinite()) for bound in tensor.aminmax())


def check_numbers(pipe: Any, name: str, parts: Iterable[str]) -> None:
    """Raise UserError naming the first tensor of these parts whose values are not all numbers."""
    for part in parts:
        for key, tensor in getattr(pipe, part).state_dict().items():
            if hasattr(tensor, "quant_type"):  # of a GGUF file
                from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

                tensor = dequantize_gguf_tensor(tensor)
            if not all_finite(tensor):
                kind = str(tensor.dtype).removeprefix("torch.")
                overflow = "use dtype float32, or " if kind == "float16" else ""  # a float32 value may be too large
                problem = f"{name}: {key} of its {part} holds values that are not finite in {kind}"
                raise UserError("model", problem, f"{overflow}download it again")
