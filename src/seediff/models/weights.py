"""Weights of parts: chooses among a model's files by their names (which variant suits a number format, and whether it
is all here), loads parts, and checks their tensors. Libraries log which tensors they miss or do not read;
`load_checked` and `check_tensors` refuse these. Values that are not finite show in the first prediction
(`not_finite`). By the fingerprint of the tensors, a continued run recognises its model, wherever they came from."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.messages import plural
from ..files.tensors import read_header
from .hub import INDEX
from .no_code import OWN_ATTENTION

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
    suited = PREFERRED[dtype][: PREFERRED[dtype].index(None) + 1]
    for part in own_parts:
        by_variant = variants(files, part)
        if not any(_are_all(by_variant.get(variant, ())) for variant in suited):
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
    wanted = {*all_parts, INDEX}
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


HARMLESS = re.compile(r"(^|[._])(position_ids|relative_position_index|num_batches_tracked)$")
"""Matches the names of tensors that networks compute themselves."""
ADDED = re.compile(
    r"(^|[._])(scaled_fp8|scale_(weight|input|inv|b)|(weight|input|output)_scale(_inv|_2)?|w?scales|SCB|absmax"
    r"|quant_(map|state.*)|comfy_quant|q?zeros|zero_points?|qweight|g_idx|lora_\w+|hada_\w+|lokr_\w+|dora_scale)([._]|$)"
)
"""Matches the names of tensors that only a quantised network or an adapter reads. Without them, the weights are
others."""
FLOATS = re.compile(r"B?F\d")
"""Matches safetensors' names of floating-point types."""
LENIENT = ("vae", "text_encoder", "backbone")
"""Parts whose files may have more tensors than the network reads: of other towers, heads, blocks, or a training."""
NEW = re.compile(r"(decode_head|hidden_states_norms)\.")
"""Matches the names of tensors that a backbone's files may lack, because a training begins them anew."""


def check_tensors(info: Mapping[str, Any], part: str, where: str, files: Iterable[Path]) -> None:
    """Raise UserError unless the weights in a part's files are those of its network, in floating point.

    info: `missing_keys`, `mismatched_keys` and `unexpected_keys` of the library that loaded them. part: its name; those
    of LENIENT may have more tensors, and a `backbone` another number of classes. where: the weights, for messages.
    files: the safetensors files, in which libraries would take integers for weights."""
    is_backbone = part == "backbone"
    wrong = [name for name in info["missing_keys"] if not (is_backbone and NEW.match(name))]
    for name, *shapes in info["mismatched_keys"]:
        if not is_backbone or len({tuple(shape)[1:] for shape in shapes}) > 1:
            wrong.append(name)
    wrong += [name for name in info["unexpected_keys"] if not part.startswith(LENIENT) or ADDED.search(name)]
    for file in files:
        stored = read_header(file).tensors.items()
        wrong += [name for name, tensor in stored if len(tensor.shape) > 1 and not FLOATS.match(tensor.dtype)]
    wrong = sorted(name for name in wrong if not HARMLESS.search(name))
    if wrong:
        problem = f"its weights are not those of its network: {plural(len(wrong), 'tensor')}, the first {wrong[0][:80]}"
        raise UserError(where, problem, "download it again, or take weights that belong to its config.json")


def load_checked(network_class: Any, source: str, part: str, where: str, files: Iterable[Path], **options: Any) -> Any:
    """A network with its weights, from a folder or hub id. network_class: in diffusers or transformers. part, where,
    files: as for `check_tensors`. options: arguments of `from_pretrained`. Raises UserError as `check_tensors` does."""
    if network_class.__module__.startswith("transformers."):  # reports sizes that do not match, too
        options |= {**OWN_ATTENTION, "ignore_mismatched_sizes": True}
    network, info = network_class.from_pretrained(source, use_safetensors=True, output_loading_info=True, **options)
    check_tensors(info, part, where, files)
    return network


def load_part(part_class: Any, folder: Path, part: str, dtype: str, name: str) -> Any:
    """A loaded part with weights.

    part_class: its class in diffusers or transformers. folder: the part's. part: its name. dtype: the number format.
    name: the model's name, for messages. Raises UserError as `check_tensors` does."""
    import torch

    variant, files = part_files(folder, dtype)
    options = {"subfolder": folder.name, "variant": variant, "dtype": getattr(torch, dtype)}
    return load_checked(part_class, str(folder.parent), part, f"model: {name}: {part}", files, **options)


LARGE, SAMPLES = 4096, 64
"""Of tensors with at least LARGE values, SAMPLES evenly spaced values count, which is enough, because further training
changes values everywhere. Of other tensors, all values count."""


def weights_fingerprint(networks: Mapping[str, Any]) -> str:
    """A text that identifies weights and configurations, and changes when any of them changes. networks: name → the
    module, before its weights are quantised."""
    import torch

    digest = hashlib.sha256()
    for part, network in sorted(networks.items()):
        config = network.config if isinstance(network.config, Mapping) else network.config.to_dict()
        settings = {key: value for key, value in config.items() if not key.startswith("_")}
        digest.update(f"{part}{json.dumps(settings, sort_keys=True, default=str)}".encode())
        for name, tensor in sorted(network.state_dict().items()):
            values = tensor.as_subclass(torch.Tensor).flatten()
            step = len(values) // SAMPLES if len(values) >= LARGE else 1
            digest.update(f"{name}{[*tensor.shape]}{tensor.dtype}".encode())
            digest.update(values[::step].contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return "sha256:" + digest.hexdigest()[:32]
