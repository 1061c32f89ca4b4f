"""What graphs of a network depend on besides a call's arguments: a changed network gets new graphs."""

from __future__ import annotations

import sys
from collections.abc import Collection
from enum import Enum
from typing import Any

import torch

SCALARS = (bool, int, float, str, bytes, type(None))
"""Types of arguments whose values decide the kind of a call."""
VALUES = (*SCALARS, Enum)
"""Types of attributes that `examine` compares."""
MARK = "_seediff_graphs"
"""The attribute in which a network keeps its `GraphedNetwork`."""


def examine(network: Any, own_hooks: Collection[int] = ()) -> tuple[Any, str]:
    """(state, reason) of a network.

    state: all that graphs depend on besides a call's arguments. Two states are compared with `==`. It includes where
    weights lie, plain attributes of all modules (a LoRA's scale, FreeU's factors), attention processors, and torch's
    settings. reason: why calls can have no graphs; "" if they can. own_hooks: ids of the handles of capture's hooks,
    which may be there."""
    values: list[Any] = []
    reason = ""
    modules = [network]
    while modules:  # `network.modules()` would take twice the time
        module = modules.pop()
        modules.extend(child for child in module._modules.values() if child is not None)
        known_hooks = own_hooks if module is not network else None
        reason = reason or _why_eager(module, known_hooks)
        values.append(type(module))
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            values.extend(_addresses(tensor))
        own = vars(module)
        values.extend((name, _compared(value)) for name, value in own.items() if name not in _OF_MODULES)
    products = torch.backends.cuda.matmul  # whose setting, since torch 2.9, makes the older function raise
    switches = (
        torch.are_deterministic_algorithms_enabled(),
        products.fp32_precision if hasattr(products, "fp32_precision") else torch.get_float32_matmul_precision(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
        torch.backends.cuda.cudnn_sdp_enabled(),
        torch.backends.cuda.math_sdp_enabled(),
        _backend_of_diffusers(),
    )
    if torch.is_autocast_enabled("cuda"):
        reason = "autocast is on"
    return (values, switches), reason


def _why_eager(module: Any, own_hooks: Collection[int] | None) -> str:
    """Why calls with this module can have no graphs; "" if they can. own_hooks: ids of the hooks that the module may
    have. None for the network itself, which may have any, because its hooks run at every call anyway."""
    own = vars(module)  # modules are slow at `getattr` of a missing attribute
    caches = own.get("_diffusers_hook")  # pipelines give every network one, often without hooks
    if "_hf_hook" in own:
        return f"a {type(module).__name__} is moved to the GPU when it runs (offload)"
    if caches is not None and caches.hooks:
        return f"a {type(module).__name__} has a cache or another hook of diffusers"
    hooks = module._forward_hooks or module._forward_pre_hooks
    if hooks and own_hooks is not None and not {*module._forward_hooks, *module._forward_pre_hooks} <= {*own_hooks}:
        return f"a {type(module).__name__} has a hook that is not capture's"
    return ""


_OF_MODULES = (frozenset(vars(torch.nn.Module())) - {"training"}) | {"forward", MARK}
"""Attributes that every module has. `examine` reads the important ones in other ways."""


def _compared(value: Any) -> Any:
    """What `examine` compares of an attribute: a value of VALUES itself; a tensor's addresses; the entries of a list
    or dict, each in this way; a function or processor and its plain attributes. Of anything else nothing: None."""
    if isinstance(value, VALUES):
        return value
    if isinstance(value, torch.Tensor):
        return _addresses(value)
    if isinstance(value, (tuple, list)):
        return [_compared(item) for item in value]
    if isinstance(value, dict):
        return {key: _compared(item) for key, item in value.items()}
    if callable(value):
        own = getattr(value, "__dict__", {})
        return value, [(name, item) for name, item in own.items() if isinstance(item, VALUES)]
    return None


def _addresses(tensor: torch.Tensor | None) -> list[int]:
    """The memory addresses of a tensor's values. The tensor of a quantised layer has no address itself: it holds
    other tensors."""
    if tensor is None:
        return []
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor.data_ptr()]
    addresses: list[int] = []
    for name in tensor.__tensor_flatten__()[0]:  # type: ignore[attr-defined]
        addresses += _addresses(getattr(tensor, name))
    return addresses


def _backend_of_diffusers() -> Any:
    """The attention that diffusers uses for all networks; a script may set it. None if diffusers is not imported."""
    dispatch = sys.modules.get("diffusers.models.attention_dispatch")
    registry = getattr(dispatch, "_AttentionBackendRegistry", None)
    return getattr(registry, "_active_backend", None)
