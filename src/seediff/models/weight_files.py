"""Chooses among a model's files of weights by their names: which variant suits a number format, and whether it is all
here."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ..files.tensors import read_header

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes per number."""
PREFERRED: dict[str, tuple[str | None, ...]] = {
    "float32": (None, "fp16", "bf16"),
    "float16": ("fp16", None, "bf16"),
    "bfloat16": ("bf16", "fp16", None),
}
"""Number format → the variants of files that can be loaded, the best first. None: files without a variant, usually in
float32."""
SMALL = (".json", ".txt", ".model", ".jinja")
"""Suffixes of the files other than weights that libraries read."""

WEIGHT_FILE = re.compile(
    r"(?P<part>[^/]+)/(diffusion_pytorch_)?model(\.(?P<variant>\w+))?(-\d{5}-of-(?P<count>\d{5})(\.(?P<old>\w+))?)?\.safetensors"
)
"""Matches the path of a file of weights in a pipeline's folder, such as unet/diffusion_pytorch_model.safetensors, or
the first of two files in half precision, text_encoder/model.fp16-00001-of-00002.safetensors. Older names have `fp16` at
the end."""


def variants(files: Iterable[str], part: str) -> dict[str | None, list[re.Match[str]]]:
    """Variant → the files of a part in this variant, as matches of WEIGHT_FILE. files: paths in the pipeline's folder.
    part: the part's name."""
    by_variant: dict[str | None, list[re.Match[str]]] = {}
    for match in map(WEIGHT_FILE.fullmatch, files):
        if match and match["part"] == part:
            by_variant.setdefault(match["variant"] or match["old"], []).append(match)
    return by_variant


def chosen_files(files: Iterable[str], part: str, dtype: str) -> tuple[str | None, list[str]]:
    """(variant, files): the best variant of a part for a number format, and its files. (None, []) if the part has no
    weights, which loading reports. files: paths in the pipeline's folder. part: the part's name. dtype: the format."""
    by_variant = variants(files, part)
    chosen = next((variant for variant in PREFERRED[dtype] if variant in by_variant), None)
    return chosen, [match[0] for match in by_variant.get(chosen, ())]


def has_all(files: Iterable[str], all_parts: Iterable[str], own_parts: Iterable[str], dtype: str) -> bool:
    """Whether a pipeline can be loaded without a download: each part has its configuration, and each part with weights
    has all files of a suitable variant.

    files: paths in the pipeline's folder. all_parts: the pipeline's parts. own_parts: the parts whose weights are read
    from this folder. dtype: the number format. Files without a variant, usually in float32, suit any format. Half
    precision does not suit float32: the result would depend on what happened to be downloaded before.
    """
    files = [*files]
    configured = {file.partition("/")[0] for file in files if file.endswith(".json")}
    if not configured.issuperset(all_parts):
        return False
    for part in own_parts:
        by_variant = variants(files, part)
        if not any(_are_all(by_variant.get(variant, ())) for variant in (PREFERRED[dtype][0], None)):
            return False
    return True


def _are_all(matches: Sequence[re.Match[str]]) -> bool:
    """Whether these are all files of a variant. A file's name says how many its variant has: there are 3 like
    `model-00001-of-00003.fp16.safetensors`."""
    present = Counter(match["count"] for match in matches)  # such as 00003 → 3
    return any(count >= int(needed or 1) for needed, count in present.items())


def needed_files(files: Collection[str], all_parts: Iterable[str], own_parts: Iterable[str], dtype: str) -> list[str]:
    """The files of a hub id that loading it reads. files: all of its files. all_parts, own_parts, dtype: as in
    `has_all`."""
    wanted = {*all_parts, "model_index.json"}
    needed = [file for file in files if file.partition("/")[0] in wanted and file.endswith(SMALL)]
    for part in own_parts:
        needed += chosen_files(files, part, dtype)[1]
    return needed


def part_files(folder: Path, dtype: str) -> tuple[str | None, list[Path]]:
    """(variant, paths): as `chosen_files`, for a part's folder on this machine. dtype: the number format."""
    files = sorted(f"{folder.name}/{path.name}" for path in folder.glob("*.safetensors"))
    variant, chosen = chosen_files(files, folder.name, dtype)
    return variant, [folder.parent / file for file in chosen]


def file_bytes(path: Path, dtype: str) -> int:
    """Bytes of a file's tensors after loading, from the file's header. dtype: the number format; a GGUF file keeps its
    own formats. Raises UserError."""
    if path.suffix == ".gguf":
        return path.stat().st_size
    return BYTES[dtype] * sum(math.prod(tensor.shape) for tensor in read_header(path).tensors.values())
