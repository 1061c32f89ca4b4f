"""Which of a model's weight files are loaded, of those that there are: half-precision runs take the half-precision ones, which are half as
much to fetch, and a model that holds only these loads in any number format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

PARTS = ("unet", "vae", "text_encoder")
"""What has weights, of what is loaded of Stable Diffusion 1 and 2."""

VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"}, {"spiece.model"}, {"tokenizer.model"})
"""Files of a tokenizer, any of which is enough."""

PREFERRED: dict[str, tuple[str | None, ...]] = {
    "float32": (None, "fp16", "bf16"),
    "float16": ("fp16", None, "bf16"),
    "bfloat16": ("bf16", "fp16", None),
}
"""diffusers' `variant`s by number format, the best first; None: files of no variant, in float32 as a rule."""

_WEIGHTS = re.compile(r"(?P<part>[^/]+)/(diffusion_pytorch_)?model(\.(?P<variant>\w+))?(-\d{5}-of-\d{5}(\.(?P<old>\w+))?)?\.safetensors")
"""`unet/diffusion_pytorch_model.fp16.safetensors`, `text_encoder/model.fp16-00001-of-00002.safetensors` and the older naming."""

_NUMBERED = re.compile(r"(.*)-\d{5}-of-(\d{5}(?:\.\w+)?)\.safetensors")


def choose_variant(files: Iterable[str], dtype: str, parts: Sequence[str] = PARTS) -> str | None:
    """The `variant` that a pipeline of these files, paths in its folder, is to be loaded with in the number format `dtype`.

    With a variant, diffusers takes the files of no variant for a part that has none of it. None also where no choice has weights for
    all parts: then loading says what is missing.
    """
    held = _variants(files, parts)
    for variant in PREFERRED[dtype]:
        if _suffices(held, variant):
            return variant
    return None


def is_enough(files: Iterable[str], dtype: str, parts: Sequence[str] = PARTS) -> bool:
    """Whether nothing better could be fetched: weights of all parts in the best variant, or of none, in float32 as a rule, of which any
    half precision can be made. Half precision alone is not enough for float32: what was fetched before would decide about the result."""
    held = _variants(files, parts)
    return _suffices(held, PREFERRED[dtype][0]) or _suffices(held, None)


def is_all_there(folder: Path, listed: Iterable[str], parts: Sequence[str] = PARTS) -> bool:
    """Whether a pipeline's folder in the hub's cache can be loaded in some number format: every part that its model_index.json lists has
    its configuration or vocabulary, and no file of a set of several is missing, nor the list of what is in which."""
    files = folder_files(folder, parts)
    held = _variants(files, parts)
    numbered = Counter((found[1], found[2]) for file in files if (found := _NUMBERED.fullmatch(file)))
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
    """The weight files of a local pipeline, as paths in its folder."""
    return sorted(f"{path.parent.name}/{path.name}" for part in parts for path in (folder / part).glob("*.safetensors"))


def part_files(folder: Path, part: str, variant: str | None) -> list[Path]:
    """The weight files of one part that loading with this `variant` takes: those of no variant where there is none of it."""
    held = [
        (found["variant"] or found["old"], folder / file) for file in folder_files(folder, (part,)) if (found := _WEIGHTS.fullmatch(file))
    ]
    own = [(its, path) for its, path in held if path.parent.name == part]
    return [path for its, path in own if its == (variant if any(one == variant for one, _ in own) else None)]


def hub_files(hub_id: str) -> list[str] | None:
    """The files of a hub id; None where the hub does not answer."""
    from huggingface_hub import HfApi

    try:
        return [file.rfilename for file in HfApi().model_info(hub_id, timeout=10).siblings or ()]
    except Exception:  # the hub client's own, the http client's, the system's
        return None


def _variants(files: Iterable[str], parts: Sequence[str]) -> dict[str, set[str | None]]:
    """Part → the variants that it has weights of."""
    held: dict[str, set[str | None]] = {part: set() for part in parts}
    for file in files:
        found = _WEIGHTS.fullmatch(file)
        if found and found["part"] in held:
            held[found["part"]].add(found["variant"] or found["old"])
    return held


def _suffices(held: dict[str, set[str | None]], variant: str | None) -> bool:
    return any(variant in variants for variants in held.values()) and all({variant, None} & variants for variants in held.values())
