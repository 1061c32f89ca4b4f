"""What recordings of a network depend on besides a call's arguments, so that a changed network is recorded again."""

from __future__ import annotations

import sys
from collections.abc import Collection
from enum import Enum
from typing import Any

import torch

PLAIN = (bool, int, float, str, bytes, type(None))
"""Types of arguments whose values decide the kind of a call."""
VALUES = (*PLAIN, Enum)
"""Types of attributes that are compared."""
MARK = "_seediff_graphs"
"""Attribute of a network with recordings: its `GraphedNetwork`."""


def examine(network: Any, own_hooks: Collection[int] = ()) -> tuple[Any, str]:
    """All that recordings depend on besides a call's arguments, to be compared with `==`; and why calls cannot be
    recorded, "" if they can.

    The first holds where weights lie, plain attributes of all modules, such as a LoRA's scale or FreeU's factors, their
    attention processors, and torch's settings. own_hooks: ids of the handles of capture's hooks.
    """
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
            values.extend(_places(tensor))
        own = vars(module)
        values.extend((name, _plain(value)) for name, value in own.items() if name not in _OF_MODULES)
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
    """Why calls with this module cannot be recorded. own_hooks: None: hooks do not matter, because they run anyway."""
    own = vars(module)  # `getattr` of what is not there is slow in modules
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
"""Attributes of every module that are looked at by themselves, or do not matter."""


def _plain(value: Any) -> Any:
    """What of an attribute is compared: values of plain types, where tensors lie, a processor with its own plain
    attributes, nothing of others."""
    if isinstance(value, VALUES):
        return value
    if isinstance(value, torch.Tensor):
        return _places(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if callable(value):
        own = getattr(value, "__dict__", {})
        return value, [(name, item) for name, item in own.items() if isinstance(item, VALUES)]
    return None


def _places(tensor: torch.Tensor | None) -> list[int]:
    """Where a tensor's values lie. One of a quantised layer holds others, and has no place of its own."""
    if tensor is None:
        return []
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor.data_ptr()]
    places: list[int] = []
    for name in tensor.__tensor_flatten__()[0]:  # type: ignore[attr-defined]
        places += _places(getattr(tensor, name))
    return places


def _backend_of_diffusers() -> Any:
    """The attention that diffusers uses for all networks, which a script may set; None before it is imported."""
    dispatch = sys.modules.get("diffusers.models.attention_dispatch")
    registry = getattr(dispatch, "_AttentionBackendRegistry", None)
    return getattr(registry, "_active_backend", None)
