"""Chooses which of a model's weight files are loaded, and loads its parts whole.

Half-precision runs take the half-precision files, which are half as large. A model that has only these loads in any
number format. Libraries initialise missing weights at random and only log a warning; here, missing weights are an
error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .trust import OWN_ATTENTION

PREFERRED: dict[str, tuple[str | None, ...]] = {
    "float32": (None, "fp16", "bf16"),
    "float16": ("fp16", None, "bf16"),
    "bfloat16": ("bf16", "fp16", None),
}
"""diffusers' `variant`s for each number format, the best first; None: files without a variant, usually in float32."""

_WEIGHTS = re.compile(
    r"(?P<part>[^/]+)/(diffusion_pytorch_)?model(\.(?P<variant>\w+))?(-\d{5}-of-\d{5}(\.(?P<old>\w+))?)?\.safetensors"
)
"""`unet/diffusion_pytorch_model.fp16.safetensors`, `text_encoder/model.fp16-00001-of-00002.safetensors` and the older
naming.
"""


def choose_variant(files: Iterable[str], dtype: str, parts: Sequence[str]) -> str | None:
    """The `variant` for loading a pipeline in the number format `dtype`. files: paths in the pipeline's folder.

    If a part has no files of the variant, diffusers takes its files without a variant. Returns None also if no choice
    has weights for all parts; loading then reports what is missing.
    """
    variants = _variants(files, parts)
    return next((variant for variant in PREFERRED[dtype] if _suffices(variants, variant)), None)


def is_enough(files: Iterable[str], dtype: str, parts: Sequence[str]) -> bool:
    """Whether these files are the best choice, so that nothing needs to be downloaded: all parts have the best variant,
    or files without a variant (usually float32), which convert to any half precision. Half precision is not enough for
    float32, because the result would then depend on earlier downloads."""
    variants = _variants(files, parts)
    return _suffices(variants, PREFERRED[dtype][0]) or _suffices(variants, None)


def folder_files(folder: Path, parts: Sequence[str]) -> list[str]:
    """The weight files of a local pipeline, as paths relative to its folder."""
    return sorted(f"{path.parent.name}/{path.name}" for part in parts for path in (folder / part).glob("*.safetensors"))


def _variants(files: Iterable[str], parts: Sequence[str]) -> dict[str, set[str | None]]:
    """Part → the variants for which it has weights."""
    matches = [match for match in map(_WEIGHTS.fullmatch, files) if match]
    return {part: {match["variant"] or match["old"] for match in matches if match["part"] == part} for part in parts}


def _suffices(variants: dict[str, set[str | None]], variant: str | None) -> bool:
    return (not variants or any(variant in those for those in variants.values())) and all(
        {variant, None} & those for those in variants.values()
    )


def load_part(kind: Any, folder: Path, part: str, variant: str | None, dtype: Any, name: str) -> Any:
    """A part with weights, of the library's class `kind`, from a pipeline's folder. name: the model's, for messages.

    It is loaded separately from the pipeline, because libraries then report which tensors they initialised at random.
    Raises UserError naming the first.
    """
    variants = _variants(folder_files(folder, (part,)), (part,))[part]
    loaded, info = kind.from_pretrained(
        str(folder),
        subfolder=part,
        variant=variant if variant in variants else None,  # a part without the variant is loaded as it is
        dtype=dtype,
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


def check_numbers(pipe: Any, name: str, parts: Sequence[str]) -> None:
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
