"""Chooses which of a model's weight files are loaded, and checks that they are complete.

Half-precision runs take the half-precision files, which are half as large. A model that has only these loads in any
number format. Libraries initialise missing weights at random and only log a warning; here, missing weights are an
error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.tensors import read_header
from .trust import OWN_ATTENTION

PARTS = ("unet", "vae", "text_encoder")
"""The parts of Stable Diffusion 1 and 2 that have weights and are loaded."""

VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"}, {"spiece.model"}, {"tokenizer.model"})
"""Sets of tokenizer files; any one set is enough."""

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

_NUMBERED = re.compile(r"(.*)-\d{5}-of-(\d{5}(?:\.\w+)?)\.safetensors")

RENAMED = (
    (re.compile(r"^text_model\."), ""),
    (re.compile(r"^(model\.)?(language_model\.)?(model\.)?"), ""),
    (re.compile(r"\.query\."), ".to_q."),
    (re.compile(r"\.key\."), ".to_k."),
    (re.compile(r"\.value\."), ".to_v."),
    (re.compile(r"\.proj_attn\."), ".to_out.0."),
)
"""Old tensor names → new names, as diffusers and transformers convert them: for the autoencoder's attention, and for
text encoders (language models included), whose files may name the whole model or only the encoder."""


def choose_variant(files: Iterable[str], dtype: str, parts: Sequence[str] = PARTS) -> str | None:
    """The `variant` for loading a pipeline in the number format `dtype`. files: paths in the pipeline's folder.

    If a part has no files of the variant, diffusers takes its files without a variant. Returns None also if no choice
    has weights for all parts; loading then reports what is missing.
    """
    held = _variants(files, parts)
    for variant in PREFERRED[dtype]:
        if _suffices(held, variant):
            return variant
    return None


def is_enough(files: Iterable[str], dtype: str, parts: Sequence[str] = PARTS) -> bool:
    """Whether these files are the best choice, so that nothing needs to be downloaded: all parts have the best variant,
    or files without a variant (usually float32), which convert to any half precision. Half precision is not enough for
    float32, because the result would then depend on earlier downloads."""
    held = _variants(files, parts)
    return _suffices(held, PREFERRED[dtype][0]) or _suffices(held, None)


def is_all_there(folder: Path, listed: Iterable[str], parts: Sequence[str] = PARTS) -> bool:
    """Whether a pipeline's folder in the hub's cache can be loaded in some number format: every part in its
    model_index.json has its configuration or vocabulary, and sharded weights have all their files and their index."""
    files = folder_files(folder, parts)
    held = _variants(files, parts)
    numbered = Counter((match[1], match[2]) for file in files if (match := _NUMBERED.fullmatch(file)))
    return (
        any(_suffices(held, variant) for variant in PREFERRED["float32"])
        and all(count == int(of[:5]) for (_, of), count in numbered.items())
        and all(any((folder / file).parent.glob("*.index*.json")) for file in files if _NUMBERED.fullmatch(file))
        and all(_is_described(folder / part, part in parts) for part in listed)
    )


def _is_described(folder: Path, has_weights: bool) -> bool:
    held = {path.name for path in folder.glob("*")}
    if has_weights:
        return "config.json" in held
    if folder.name.startswith("tokenizer"):
        return any(vocabulary <= held for vocabulary in VOCABULARIES)
    return bool(held)


def folder_files(folder: Path, parts: Sequence[str] = PARTS) -> list[str]:
    """The weight files of a local pipeline, as paths relative to its folder."""
    return sorted(f"{path.parent.name}/{path.name}" for part in parts for path in (folder / part).glob("*.safetensors"))


def part_files(folder: Path, part: str, variant: str | None) -> list[Path]:
    """The weight files of one part for this `variant`, or those without a variant if it has none."""
    names = [match for file in folder_files(folder, (part,)) if (match := _WEIGHTS.fullmatch(file))]
    held = [(match["variant"] or match["old"], folder / match[0]) for match in names]
    wanted = variant if any(has == variant for has, _ in held) else None
    return [path for has, path in held if has == wanted]


def _variants(files: Iterable[str], parts: Sequence[str]) -> dict[str, set[str | None]]:
    """Part → the variants for which it has weights."""
    held: dict[str, set[str | None]] = {part: set() for part in parts}
    for match in filter(None, map(_WEIGHTS.fullmatch, files)):
        if match["part"] in held:
            held[match["part"]].add(match["variant"] or match["old"])
    return held


def _suffices(held: dict[str, set[str | None]], variant: str | None) -> bool:
    return (not held or any(variant in variants for variants in held.values())) and all(
        {variant, None} & variants for variants in held.values()
    )


def load_text_encoder(folder: Path, part: str, kind: str, variant: str | None, dtype: Any, name: str) -> Any:
    """A text encoder of the class `kind` of transformers, from a pipeline's folder.

    It is loaded separately, because transformers then reports which tensors it initialised at random. This includes
    tensors whose names in the file the installed version does not know: versions before 5.6 do not know the names that
    later versions write. Raises UserError naming the first.
    """
    import transformers

    has_variant = any(f".{variant}." in file for file in folder_files(folder, (part,)))
    encoder, info = getattr(transformers, kind).from_pretrained(
        str(folder),
        subfolder=part,
        variant=variant if has_variant else None,  # a part without the variant is loaded as it is
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        **OWN_ATTENTION,
    )
    needed = list(encoder.state_dict())
    missing = [key for key in info["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        raise UserError(_lacks(name, part, missing, needed))
    return encoder


def _lacks(name: str, part: str, missing: Sequence[str], needed: Sequence[str]) -> str:
    of = f"{len(missing)} of {len(needed)} tensors in its {part}"
    return f"model '{name}': {of} are missing from its weights, the first {min(missing)}; download it again"


def check_whole(pipe: Any, folder: Path, variant: str | None, name: str, parts: Sequence[str] = PARTS) -> None:
    """Raise UserError naming the part and the first tensor that none of its weight files holds. folder: with all files
    of the pipeline.
    """
    for part in parts:
        held = {newer(key) for file in part_files(folder, part, variant) for key in read_header(file).tensors}
        needed = getattr(pipe, part).state_dict()
        there = {
            tensor.data_ptr() for key, tensor in needed.items() if newer(key) in held
        }  # tied tensors are stored under one name only
        absent = [key for key, tensor in needed.items() if newer(key) not in held and tensor.data_ptr() not in there]
        missing = [key for key in absent if not key.endswith("position_ids")]
        if missing:
            raise UserError(_lacks(name, part, missing, needed))


def check_numbers(pipe: Any, name: str, parts: Sequence[str]) -> None:
    """Raise UserError naming the first tensor of these parts whose values are not all numbers."""
    for part in parts:
        for key, tensor in getattr(pipe, part).state_dict().items():
            if hasattr(tensor, "quant_type"):  # of a GGUF file
                from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

                tensor = dequantize_gguf_tensor(tensor)
            if not bool(tensor.isfinite().all()):
                kind = str(tensor.dtype).removeprefix("torch.")
                smaller = (
                    "use --dtype float32, or " if kind == "float16" else ""
                )  # a float32 value may overflow in float16
                raise UserError(
                    f"model '{name}': {key} of its {part} holds values that are not finite in {kind}; {smaller}download"
                    " it again"
                )


def newer(key: str) -> str:
    """A tensor's name as the installed libraries call it."""
    for old, new in RENAMED:
        key = old.sub(new, key)
    return key
