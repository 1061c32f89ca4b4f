"""Holds the tensors in files of weights against the network that reads them: `audit`.

Libraries convert integers to meaningless numbers, drop scales and whatever else the network has no place for, and fill
missing tensors with random numbers. What they log about it is muted (trust.py), so it is reported here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from ..errors import Notice
from ..files.messages import plural
from ..files.tensors import Tensor

NO_NUMBERS = re.compile(r"[IU]\d+|BOOL|C\d+|F4|F6_\w+|F8_E8M0")
"""Matches the types without floating-point numbers of their own, in safetensors' and GGUF's names."""
EIGHT_BITS = re.compile(r"F8_\w+|[IU]8")
INTEGERS = re.compile(r"(^|[._])(position_ids|relative_position_index|num_batches_tracked|alpha)$")
"""Matches the names of tensors that may be integers."""
SCALE = re.compile(
    r"(^|[._])(scaled_fp8|scale_(weight|input|inv|b)|(weight|input|output)_scale(_inv|_2)?|w?scales|SCB|absmax"
    r"|quant_(map|state.*)|comfy_quant|q?zeros|zero_points?|qweight|g_idx)$"
)
"""Matches the names of tensors that only a quantised network reads."""
ADAPTER = re.compile(r"(^|[._])(lora|hada|lokr|dora|ia3|adapters?)([._]|$)")
"""Matches the names of tensors that change the layers of a network."""
BLOCK = re.compile(r"(^|\.)\d+(\.|$)")
"""Matches the number of a block in a name."""
HEADS = (
    r"((model|transformer|language_model|swin|resnet|segformer)\.)*(vision_model|visual|vision_tower|visual_projection"
    r"|multi_modal_projector|text_projection|logit_scale|lm_head|decoder|classifier|pooler|layernorm)(\.|$)"
)
"""Matches the beginnings of names in other towers and heads of a text encoder or backbone, which do not change its
states."""


class Spare(NamedTuple):
    """What files may have besides the tensors of the network."""

    names: str = r"$^"
    """Matches the beginnings of their names."""
    blocks: bool = False
    """Whether they may have further blocks, because fewer blocks are a choice."""
    others: bool = False
    """Whether they may have other tensors outside the network's blocks and layers. They are reported."""


SPARE = {
    "vae": Spare(r"(loss|model_ema)\."),  # what only training uses
    "text_encoder": Spare(HEADS, blocks=True, others=True),
    "backbone": Spare(HEADS, others=True),
}
"""Part → what its files may have besides. Other parts: nothing."""


def audit(headers: Mapping[str, Tensor], info: Mapping[str, Any], module: Any, part: str, place: str) -> str:
    """A sentence about the first tensor that has a wrong type, is missing, mismatched or left over; "" if all is right.
    One warning reports harmless left-over tensors.

    headers: name → type and shape, of all files of the part. info: `missing_keys`, `mismatched_keys` and
    `unexpected_keys` of the library that loaded them. module: the loaded network. part: a key of SPARE, perhaps with a
    number behind, or another word. place: where the weights are, for the warning."""
    problem = stored_problem(headers)
    if problem:
        return problem
    names = module.state_dict().keys()
    missing = [key for key in info["missing_keys"] if not key.endswith("position_ids")]
    if not headers:
        missing = list(names)
    if missing:
        return f"{len(missing)} of {len(names)} tensors are missing from its weights, the first {min(missing)[:80]}"
    for name, *shapes in sorted(info["mismatched_keys"]):
        in_file, in_network = (tuple(shape) for shape in shapes)
        return f"tensor {name} is {in_file}, but the network has {in_network}"
    spare = SPARE.get(re.sub(r"_\d$", "", part), Spare())
    left = sorted(key for key in info["unexpected_keys"] if not re.match(spare.names, key) and not INTEGERS.search(key))
    if spare.blocks:
        left = [key for key in left if not _is_further(key, module, names)]
    for key in left:
        if not spare.others or SCALE.search(key) or ADAPTER.search(key) or _changes(key, module):
            return f"the network of config.json has no {key[:80]}, which is among its weights"
    if left:
        text = f"{place}: nothing reads {plural(len(left), 'tensor')} of its weights, the first {left[0][:80]}"
        warnings.warn(text, Notice, stacklevel=2)
    return ""


def stored_problem(headers: Mapping[str, Tensor]) -> str:
    """A sentence about the first tensor that is a scale or has a wrong type; "" if there is no such tensor. headers:
    name → type and shape, of files whose tensors a network or an adapter has."""
    scale = scale_among(headers)
    if scale:
        return f"there is an unsupported quantisation ({scale[-80:]})"
    for name in sorted(headers):
        kind = headers[name].dtype
        if NO_NUMBERS.fullmatch(kind) and not INTEGERS.search(name):
            return f"tensor {name[:80]} is of type {kind}, but the network computes in floating point"
    return ""


def scale_among(headers: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that belongs to an 8-bit tensor, other than its layer's bias: its scale; "" without
    such a tensor."""
    small = {name for name, tensor in headers.items() if EIGHT_BITS.fullmatch(tensor.dtype)}
    for name in sorted(headers if small else ()):
        for cut in (match.start() for match in re.finditer(r"[._]", name)):
            owner, own = name[:cut], name[cut:]
            of_layer = f"{owner}.weight" in small and not own.endswith((".weight", ".bias"))
            if owner in small or of_layer:
                return name
    return ""


def unread(convert: Callable[[dict[str, Any]], Mapping[str, Any]], headers: Mapping[str, Tensor]) -> set[str]:
    """The names of the tensors that a converter drops. The converter runs once, with tensors that have no values but
    remember of which tensors they were made. headers: name → type and shape, of the tensors to convert."""
    import torch

    class Traced(torch.Tensor):
        names: frozenset[str] = frozenset()

        @classmethod
        def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = super().__torch_function__(function, types, args, kwargs or {})
            names = frozenset(chain.from_iterable(tensor.names for tensor in _flat(args) if isinstance(tensor, Traced)))
            for tensor in _flat([made]):
                if isinstance(tensor, Traced):
                    tensor.names = names
            return made

    tensors = {}
    for name, tensor in headers.items():
        tensors[name] = torch.empty(tensor.shape, device="meta").as_subclass(Traced)
        tensors[name].names = frozenset([name])
    return headers.keys() - set(chain.from_iterable(tensor.names for tensor in convert(tensors).values()))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """The values, and what is in those that are lists or tuples."""
    for value in values:
        yield from _flat(value) if isinstance(value, list | tuple) else [value]


def _inside(name: str, module: Any) -> tuple[str, list[str]]:
    """(place, rest). place: the innermost of the network's modules in which a tensor of this name would be. rest: the
    parts of the name behind it."""
    place, rest = "", name.split(".")
    while hasattr(module, rest[0]) and len(rest) > 1:
        module, place = getattr(module, rest[0]), f"{place}.{rest.pop(0)}"
    return place.removeprefix("."), rest


def _is_further(name: str, module: Any, names: Collection[str]) -> bool:
    """Whether a tensor is of a block after the network's last, and has its place in the first block. names: of the
    network's tensors."""
    place, (number, *rest) = _inside(name, module)
    return number.isdigit() and ".".join([place, "0", *rest]).removeprefix(".") in names


def _changes(name: str, module: Any) -> bool:
    """Whether a tensor would be in a block, a list of blocks or a layer that the network has."""
    place, (first, *_) = _inside(name, module)
    has_own = any(True for _ in module.get_submodule(place).parameters(recurse=False))
    return has_own or first.isdigit() or BLOCK.search(place) is not None
