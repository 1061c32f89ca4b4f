"""Loads parts of a model, and checks their tensors. Libraries log which tensors they miss or do not read;
`load_checked` and `check_tensors` refuse these. Values that are not finite show in the first prediction
(`not_finite`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import plural
from ..files.tensors import read_header
from .no_code import OWN_ATTENTION
from .weight_files import part_files

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


@contextmanager
def errors_about(path: Path) -> Iterator[None]:
    """Turn every error in this block into a UserError about `path`: libraries raise errors of any kind for a broken
    folder."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(path, f"cannot be loaded ({first_line(error)})") from error
