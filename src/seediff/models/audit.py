"""Holds the tensors in files of weights against the network that read them: `audit`. weights.py calls it for folders
(models, networks, segmenters, SAM), single_file.py for single files and GGUF.

Libraries convert integers to meaningless numbers, drop scales and whatever else the network has no place for, and fill
missing tensors with random numbers. What they log about it is muted (no_code.py), so it is reported here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

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
OF_SCALES = re.compile(r"scale|scb|absmax|zero|quant|_inv|amax", re.IGNORECASE)
"""Matches words in names of scales of any program. Beside an 8-bit tensor they surely mean a scale; elsewhere only the
names of SCALE do."""
ADDED = re.compile(rf"{SCALE.pattern}|(^|[._])(lora|hada|lokr|dora|ia3|adapters?)([._]|$)")
"""Matches these, and the names of tensors that change the layers of a network."""
MAY_HAVE_OTHERS = ("text_encoder", "backbone")
"""Parts that may have tensors of any name outside their blocks and layers. A warning reports them."""
HEADS = (
    r"((model|transformer|language_model|swin|resnet|segformer)\.)*(vision_model|visual|vision_tower|visual_projection"
    r"|multi_modal_projector|text_projection|logit_scale|lm_head|decoder|classifier|pooler|layernorm)(\.|$)"
)
"""Matches the beginnings of names in other towers and heads of a text encoder or backbone, which do not change its
states."""


SPARE = {"vae": r"(loss|model_ema)\.", "text_encoder": HEADS, "backbone": HEADS}
"""Part → matches the beginnings of the names that its files may have besides, because only training or others read
them. Other parts: nothing."""
NEW = {"backbone": ("decode_head.", "hidden_states_norms.")}
"""Part → the beginnings of names that its files may lack, if they lack all such names, because a training begins them
anew. For a segmenter that begins with a backbone: the decoder, and the norms of the backbone's outputs."""


def audit(headers: Mapping[str, Tensor], info: Mapping[str, Any], module: Any, part: str, place: str) -> str:
    """A sentence about the first tensor that has a wrong type, is missing, mismatched, left over, or not finite; "" if
    all is right.

    headers: name → type and shape, of all files of the part. Others as in `misfit`."""
    if not headers:
        info = {**info, "missing_keys": list(module.state_dict())}
    return stored_problem(headers) or misfit(info, module, part, place) or not_finite(module)


def misfit(info: Mapping[str, Any], module: Any, part: str, place: str) -> str:
    """A sentence about the first tensor that is missing, mismatched or left over; "" if all is right. A warning reports
    harmless tensors that are left over.

    info: `missing_keys`, `mismatched_keys` and `unexpected_keys` of the library that loaded the tensors. module: the
    network. part: a key of SPARE or NEW, perhaps with a number behind, or another word. In a `backbone`, the first side
    of a tensor may differ: it is the number of classes. place: of the weights, for the warning."""
    names, part = module.state_dict().keys(), re.sub(r"_\d$", "", part)
    missing = {key for key in info["missing_keys"] if not key.endswith("position_ids")}
    for start in NEW.get(part, ()):
        begun = {name for name in names if name.startswith(start)}
        if begun <= missing:
            missing -= begun
    if missing:
        return f"{len(missing)} of {len(names)} tensors are missing from its weights, the first {min(missing)[:80]}"
    for name, *shapes in sorted(info["mismatched_keys"]):
        in_file, in_network = (tuple(shape) for shape in shapes)
        if part not in NEW or in_file[1:] != in_network[1:]:
            return f"tensor {name} is {in_file}, but the network has {in_network}"
    harmless = []
    for name in sorted(info["unexpected_keys"]):
        layer, inside, (first, *rest) = _inside(name, module)
        is_further = part == "text_encoder" and first.isdigit() and ".".join([*inside, "0", *rest]) in names
        if INTEGERS.search(name) or re.match(SPARE.get(part, "$^"), name) or is_further:
            continue  # fewer blocks of a text encoder are a choice
        in_network = first.isdigit() or any(map(str.isdigit, inside)) or any(True for _ in layer.parameters(False))
        if in_network or part not in MAY_HAVE_OTHERS or ADDED.search(name):
            return f"the network of config.json has no {name[:80]}, which is among its weights"
        harmless.append(name)
    if harmless:
        text = f"{place}: nothing reads {plural(len(harmless), 'tensor')} of its weights, the first {harmless[0][:80]}"
        warnings.warn(text, Notice, stacklevel=2)
    return ""


def _inside(name: str, module: Any) -> tuple[Any, list[str], list[str]]:
    """(layer, inside, rest). layer: the innermost module of the network in which a tensor of this name would be.
    inside, rest: the parts of the name up to this module, and behind."""
    inside, rest = list[str](), name.split(".")
    while len(rest) > 1 and rest[0] in dict(module.named_children()):
        module = module.get_submodule(rest[0])
        inside.append(rest.pop(0))
    return module, inside, rest


def all_finite(tensor: Any) -> bool:
    """Whether all values of a tensor are finite. Tests only the smallest and the largest value, which are NaN if any
    value is: this takes a tenth of the time of a test of all values."""
    return not tensor.numel() or all(bool(bound.isfinite()) for bound in tensor.aminmax())


def not_finite(network: Any) -> str:
    """A sentence about a network's first tensor with a value that is NaN or infinite; "" if all values are finite."""
    for name, tensor in network.state_dict().items():
        if hasattr(tensor, "quant_type"):  # of a GGUF file
            from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

            tensor = dequantize_gguf_tensor(tensor)
        if not all_finite(tensor):
            return f"tensor {name} holds values that are not finite in {str(tensor.dtype).removeprefix('torch.')}"
    return ""


def stored_problem(headers: Mapping[str, Tensor]) -> str:
    """A sentence about the first tensor that is a scale or has a wrong type; "" if there is no such tensor. headers:
    name → type and shape, of files whose tensors a network or an adapter has."""
    scale = scale_among(headers)
    if scale:
        return f"there is an unsupported quantisation ({scale[-80:]})"
    for name in sorted(headers):
        kind = headers[name].dtype
        if headers[name].shape and NO_NUMBERS.fullmatch(kind) and not INTEGERS.search(name):
            return f"tensor {name[:80]} is of type {kind}, but the network computes in floating point"
    return ""


def scale_among(headers: Mapping[str, Tensor]) -> str:
    """The name of the first tensor that belongs to an 8-bit tensor and is called a scale; "" without such a tensor."""
    small = {name for name, tensor in headers.items() if EIGHT_BITS.fullmatch(tensor.dtype)}
    for name in sorted(headers if small else ()):
        for cut in (match.start() for match in re.finditer(r"[._]", name)):
            owner, own = name[:cut], name[cut:]
            of_layer = f"{owner}.weight" in small and "." not in own[1:]
            if (owner in small or of_layer) and OF_SCALES.search(own):
                return name
    return ""


def unread(convert: Callable[[dict[str, Any]], Mapping[str, Any]], tensors: Mapping[str, Any]) -> set[str]:
    """The names of the tensors that a converter drops. The converter runs once, with tensors of these shapes without
    values: what its results do not depend on was dropped."""
    import torch

    with torch.enable_grad():
        empty = [torch.empty(tensor.shape, device="meta", requires_grad=True) for tensor in tensors.values()]
        made = list(convert(dict(zip(tensors, empty, strict=True))).values())
        made = [tensor for tensor in made if tensor.requires_grad]
        slopes = torch.autograd.grad(made, empty, [torch.empty_like(tensor) for tensor in made], allow_unused=True)
    return {name for name, slope in zip(tensors, slopes, strict=True) if slope is None}
