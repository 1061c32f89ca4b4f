"""Chooses the weight files of a model, loads its parts, and checks that they are complete and finite. Libraries alone
would fill missing weights with random numbers, and only log a warning."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import show_bytes, show_json
from ..files.reading import ABSENT, read_json
from ..files.tensors import read_header
from .audit import audit, stored_problem
from .families.named import BYTES
from .no_code import OWN_ATTENTION

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
    files, suitable = [*files], (PREFERRED[dtype][0], None)
    configured = {file.partition("/")[0] for file in files if file.endswith(".json")}
    found = [variants(files, part) for part in own_parts]
    return configured.issuperset(all_parts) and all(
        any(_are_all(by_variant.get(variant, ())) for variant in suitable) for by_variant in found
    )


def _are_all(matches: Sequence[re.Match[str]]) -> bool:
    """Whether these are all files of a variant. A file's name says how many its variant has: there are 3 like
    `model-00001-of-00003.fp16.safetensors`."""
    return any(found >= int(needed or 1) for needed, found in Counter(match["count"] for match in matches).items())


def needed_files(files: Collection[str], all_parts: Iterable[str], own_parts: Iterable[str], dtype: str) -> list[str]:
    """The files of a hub id that loading it reads. files: all of its files. all_parts, own_parts, dtype: as in
    `has_all`."""
    places = {*all_parts, "model_index.json"}
    needed = [file for file in files if file.partition("/")[0] in places and file.endswith(SMALL)]
    for part in own_parts:
        needed += chosen_files(files, part, dtype)[1]
    return needed


def part_files(folder: Path, dtype: str) -> tuple[str | None, list[Path]]:
    """(variant, paths): as `chosen_files`, for a part's folder on this machine. dtype: the number format. Raises
    UserError as `shards` does."""
    for index in folder.glob("*safetensors.index*.json"):
        shards(index)
    files = sorted(f"{folder.name}/{path.name}" for path in folder.glob("*.safetensors"))
    variant, chosen = chosen_files(files, folder.name, dtype)
    return variant, [folder.parent / file for file in chosen]


def file_bytes(path: Path, dtype: str) -> int:
    """Bytes of a file's tensors after loading, from the file's header. dtype: the number format; a GGUF file keeps its
    own formats. Raises UserError."""
    if path.suffix == ".gguf":
        return path.stat().st_size
    return BYTES[dtype] * sum(math.prod(tensor.shape) for tensor in read_header(path).tensors.values())


def shards(index: Path) -> list[Path]:
    """The files among which a part's weights are divided, by their index. Raises UserError for an index that names
    other files than a part's weights in its own folder."""
    names = read_json(index, dict[str, Any]).get("weight_map")
    if not isinstance(names, dict):
        raise UserError(index, "has no table weight_map", "download it again")
    for name in names.values():
        if not WEIGHT_FILE.fullmatch(f"{index.parent.name}/{name}"):
            raise UserError(index, f"{show_json(name)} must be a file like model-00001-of-00002.safetensors beside it")
    return [index.parent / name for name in sorted(set(names.values()))]


def load_audited(
    kind: Any,
    source: str,
    files: Iterable[Path],
    part: str,
    place: str,
    *,
    absent: str = ABSENT,
    **options: Any,
) -> tuple[Any, str]:
    """(network, problem): a network with its weights, and a sentence of `audit` about them, "" if all is right.

    kind: its class in diffusers or transformers.
    source: a folder or hub id.
    files: its files of weights.
    part: its role, as in `audit`.
    place: of the weights, for warnings.
    absent: as for `read_header`.
    options: arguments of `from_pretrained`.
    Raises UserError if a file cannot be read, or if this machine has too little memory."""
    headers = dict(chain.from_iterable(read_header(file, absent).tensors.items() for file in files))
    problem = stored_problem(headers)  # before gigabytes are read
    if problem:
        return None, problem
    if kind.__module__.startswith("transformers."):  # reports sizes that do not match, too
        options |= {**OWN_ATTENTION, "ignore_mismatched_sizes": True}
    try:
        network, info = kind.from_pretrained(source, use_safetensors=True, output_loading_info=True, **options)
    except RuntimeError as error:
        refused = re.search(r"allocate (\d+) bytes", str(error))
        if refused is None:
            raise
        more = f"loading it needs {show_bytes(int(refused[1]))} more memory than this machine has free"
        where = "/".join([source, options.get("subfolder", "")]).rstrip("/")
        raise UserError(where, more, "end other programs, or take a smaller model") from error
    return network, audit(headers, info, network, part, place)


@contextmanager
def errors_about(place: Path) -> Iterator[None]:
    """Turn every error in this block into a UserError about `place`: libraries raise errors of any kind for a broken
    folder."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(place, f"cannot be loaded ({first_line(error)})") from error


def load_part(kind: Any, folder: Path, part: str, dtype: str, name: str) -> Any:
    """A loaded part with weights.

    kind: its class in diffusers or transformers. folder: the part's. part: its name. dtype: the number format. name:
    the model's name, for messages. Raises UserError, with a tensor's name, if this tensor is missing or does not fit
    the part's configuration."""
    import torch

    variant, files = part_files(folder, dtype)
    options = {"subfolder": folder.name, "variant": variant, "dtype": getattr(torch, dtype)}
    network, problem = load_audited(kind, str(folder.parent), files, part, f"{name}, {part}", **options)
    if problem:
        raise damaged(name, part, problem)
    return network


def damaged(name: str, part: str, problem: str) -> UserError:
    """The error for weights that `audit` refuses. name: the model's. part: the part's. problem: the sentence."""
    fix = "download it again"
    if problem.endswith(" float16"):  # a float32 value may be too large for it
        fix = f"use dtype float32, or {fix}"
    return UserError("model", f"{name}: in its {part}, {problem}", fix)


def no_number(what: str, dtype: str) -> UserError:
    """The error for values that are NaN or infinite. what: a plural noun for the values. dtype: their number format."""
    dtype = dtype.removeprefix("torch.")
    if dtype == "float16":
        return UserError("dtype", f"float16: overflowed: {what} are not numbers", "use float32 or bfloat16")
    problem = f"{what} are not numbers, although it computes in {dtype}"
    return UserError("model", problem, "its weights, or what was changed in them, may be damaged")
