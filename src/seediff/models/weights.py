"""Chooses which weight files of a model are loaded, and loads its parts completely. Libraries alone would fill
missing weights with random numbers, and only log a warning."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import show_bytes
from ..files.tensors import Tensor, read_header
from .short_names import BYTES
from .trust import OWN_ATTENTION

PREFERRED: dict[str, tuple[str | None, ...]] = {
    "float32": (None, "fp16", "bf16"),
    "float16": ("fp16", None, "bf16"),
    "bfloat16": ("bf16", "fp16", None),
}
"""Number format → the variants of files that can be loaded, the best first. None: files without a variant, usually
in float32."""
SMALL = (".json", ".txt", ".model", ".jinja")
"""Suffixes of files other than weights that libraries read."""

BLOCK = re.compile(r"\.\d+\.")
"""Matches the block number in a tensor's name."""

_WEIGHTS = re.compile(
    r"(?P<part>[^/]+)/(diffusion_pytorch_)?model(\.(?P<variant>\w+))?(-\d{5}-of-(?P<count>\d{5})(\.(?P<old>\w+))?)?\.safetensors"
)
"""Matches the path of a file of weights in a pipeline's folder: unet/diffusion_pytorch_model.safetensors, or in half
precision and several files, text_encoder/model.fp16-00001-of-00002.safetensors; older files have `fp16` at the end."""


def variants(files: Iterable[str], part: str) -> dict[str | None, list[re.Match[str]]]:
    """Variant of a part's weights → its files, as matches of `_WEIGHTS`. files: paths in the pipeline's folder.
    part: the part's name."""
    found: dict[str | None, list[re.Match[str]]] = {}
    for match in map(_WEIGHTS.fullmatch, files):
        if match and match["part"] == part:
            found.setdefault(match["variant"] or match["old"], []).append(match)
    return found


def chosen_files(files: Iterable[str], part: str, dtype: str) -> tuple[str | None, list[str]]:
    """(variant, files) of a part that are loaded in the number format `dtype`. files: paths in the pipeline's
    folder. (None, []) if the part has no weights; loading reports it."""
    held = variants(files, part)
    chosen = next((variant for variant in PREFERRED[dtype] if variant in held), None)
    return chosen, [match[0] for match in held.get(chosen, ())]


def has_all(files: Iterable[str], listed: Iterable[str], weighted: Iterable[str], dtype: str) -> bool:
    """Whether nothing needs to be downloaded to load a pipeline in the number format `dtype`: each listed part has its
    configuration, and each weighted part has all files of a suitable variant. files: paths in the pipeline's folder.

    Files without a variant, usually in float32, can be converted to any half precision. Half precision does not do
    for float32, because the result would then depend on earlier downloads."""
    files, allowed = [*files], {PREFERRED[dtype][0], None}
    configured = {file.partition("/")[0] for file in files if file.endswith(".json")}
    return configured.issuperset(listed) and all(_is_whole(variants(files, part), allowed) for part in weighted)


def _is_whole(held: Mapping[str | None, Sequence[re.Match[str]]], allowed: Collection[str | None]) -> bool:
    """Whether all files of an allowed variant are there. A file's name says how many files its variant has."""
    counts = Counter((variant, match["count"]) for variant in held.keys() & allowed for match in held[variant])
    return any(there >= int(count or 1) for (_, count), there in counts.items())


def needed_files(files: Collection[str], listed: Iterable[str], parts: Iterable[str], dtype: str) -> list[str]:
    """The files of a hub id that are loaded in the number format `dtype`. files: all of its files. listed: all
    parts. parts: the parts whose weights are loaded."""
    places = {*listed, "model_index.json"}
    needed = [file for file in files if file.partition("/")[0] in places and file.endswith(SMALL)]
    for part in parts:
        needed += chosen_files(files, part, dtype)[1]
    return needed


def part_files(folder: Path, part: str, dtype: str) -> tuple[str | None, list[Path]]:
    """`chosen_files` for a folder on this machine, with the files' paths. folder: the pipeline's folder."""
    there = sorted(f"{part}/{path.name}" for path in (folder / part).glob("*.safetensors"))
    variant, files = chosen_files(there, part, dtype)
    return variant, [folder / file for file in files]


def file_bytes(path: Path, dtype: str) -> int:
    """Bytes of a file's tensors in the number format `dtype`, from the file's header. A GGUF file keeps its own
    formats. Raises UserError."""
    if path.suffix == ".gguf":
        return path.stat().st_size
    return BYTES[dtype] * sum(math.prod(tensor.shape) for tensor in read_header(path).tensors.values())


def _tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """Name → shape and type of a tensor, from the headers of files."""
    return dict(chain.from_iterable(read_header(file).tensors.items() for file in files))


def load_checked(kind: Any, source: str, /, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """(network, info). kind: a class of diffusers or transformers, which loads the network. source: a folder or hub
    id. options: arguments of `from_pretrained`. info: what the library reported, for `misfit`. Raises UserError if
    this machine has too little memory."""
    if of_transformers(kind):  # reports sizes that do not match, too
        options |= {**OWN_ATTENTION, "ignore_mismatched_sizes": True}
    try:
        return kind.from_pretrained(source, use_safetensors=True, output_loading_info=True, **options)
    except RuntimeError as error:
        asked = re.search(r"allocate (\d+) bytes", str(error))
        if asked is None:
            raise
        more = f"loading it needs {show_bytes(int(asked[1]))} more memory than this machine has free"
        place = "/".join([source, options.get("subfolder", "")]).rstrip("/")
        raise UserError(place, more, "end other programs, or take a smaller model") from error


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """In this block, every error becomes a UserError about `place`. Libraries raise errors of any kind for a broken
    folder."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(place, f"cannot be loaded ({first_line(error)})") from error


def of_transformers(kind: Any) -> bool:
    """Whether a class is one of transformers."""
    return kind.__module__.startswith("transformers.")


def load_part(kind: Any, folder: Path, part: str, dtype: str, name: str) -> Any:
    """Load a part with weights from a pipeline's folder.

    kind: the library's class. part: its name. name: the model's name, for messages. Raises UserError, with the
    tensor's name, if a tensor is missing or belongs to a block that the configuration lacks."""
    import torch

    variant, files = part_files(folder, part, dtype)
    options = {"subfolder": part, "variant": variant, "dtype": getattr(torch, dtype)}
    loaded, info = load_checked(kind, str(folder), **options)
    left: list[str] = []
    if not of_transformers(kind):  # fewer layers of a text encoder are a choice
        left = [key for key in info["unexpected_keys"] if BLOCK.search(key)]
    problem = misfit(loaded, {**info, "unexpected_keys": left}, files)
    if problem:
        raise UserError("model", f"{name}: in its {part}, {problem}", "download it again")
    return loaded


def wrong_types(network: Any, files: Iterable[Path]) -> str:
    """A sentence about the first tensor that has integers in the files but floating-point numbers in the network;
    empty if there is none. Libraries would convert the integers to meaningless numbers."""
    held, own = _tensors(files), network.state_dict()
    for name in sorted(held.keys() & own.keys()):
        kind = held[name].dtype
        if (kind[0] in "IU" or kind == "BOOL") and own[name].is_floating_point():
            return f"tensor {name} is of type {kind}, but the network computes in floating point"
    return ""


def misfit(network: Any, info: Mapping[str, Any], files: Iterable[Path]) -> str:
    """A sentence about the first tensor of a loaded network that is missing, mismatched or unexpected; empty if
    everything fits.

    info: what the library reported when it loaded the network. files: the weight files, whose headers say the
    tensors' types."""
    missing = [key for key in info["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        count = f"{len(missing)} of {len(network.state_dict())} tensors"
        return f"{count} are missing from its weights, the first {min(missing)}"
    for name, *shapes in sorted(info["mismatched_keys"]):
        in_file, in_network = (tuple(shape) for shape in shapes)
        return f"tensor {name} is {in_file}, but the network has {in_network}"
    left = info["unexpected_keys"]
    if left:
        return f"the network of config.json has no {min(left)}, which is among its weights"
    return wrong_types(network, files)


def all_finite(tensor: Any) -> bool:
    """Whether all values of a tensor are finite. The smallest and the largest value decide: both are NaN if any
    value is. This takes a tenth of the time of looking at each value."""
    return not tensor.numel() or all(bool(bound.isfinite()) for bound in tensor.aminmax())


def no_number(what: str, dtype: str) -> UserError:
    """The error for values that are NaN or infinite. what: the values, as a plural noun. dtype: their number format."""
    dtype = dtype.removeprefix("torch.")
    if dtype == "float16":
        return UserError("dtype", f"float16: overflowed: {what} are not numbers", "use float32 or bfloat16")
    problem = f"{what} are not numbers, although it computes in {dtype}"
    return UserError("model", problem, "its weights, or what was changed in them, may be damaged")


def not_finite(network: Any) -> str:
    """A sentence about the first tensor of a network with a value that is NaN or infinite; empty if all are finite."""
    for name, tensor in network.state_dict().items():
        if hasattr(tensor, "quant_type"):  # of a GGUF file
            from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

            tensor = dequantize_gguf_tensor(tensor)
        if not all_finite(tensor):
            return f"tensor {name} holds values that are not finite in {str(tensor.dtype).removeprefix('torch.')}"
    return ""


def check_numbers(pipe: Any, name: str, parts: Iterable[str]) -> None:
    """Raise UserError, with the tensor's name, if a part has a weight that is NaN or infinite. name: the model's
    name. parts: names of parts."""
    for part in parts:
        problem = not_finite(getattr(pipe, part))
        if problem:
            fix = "download it again"
            if problem.endswith(" float16"):  # a float32 value may be too large for it
                fix = f"use dtype float32, or {fix}"
            raise UserError("model", f"{name}: in its {part}, {problem}", fix)
