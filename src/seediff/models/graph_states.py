"""What `GraphedNetwork` (graphs.py) knows: about a call, a graph, one capture of attention, and from one capture to the
next; and the state of a network on which its graphs depend: `examine`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils._pytree import tree_map_only

SCALARS = (bool, int, float, str, bytes, type(None))
"""Types of a call's arguments whose values, together with the shapes of tensors, decide the call's kind."""
VALUES = (*SCALARS, Enum)
"""Types of modules' attributes that `examine` compares by value."""
MARK = "_seediff_graphs"
"""The attribute in which a network keeps its `GraphedNetwork`."""


class CaptureHooks(Protocol):
    """The hooks in the network's layers that add attention to maps. `attention.recorder.AttentionRecorder` has these
    methods."""

    total_steps: int | None
    """The number of denoising steps in the capture; None: unknown."""

    def kind_of_call(self) -> Hashable:
        """A value that is equal for two calls if the hooks start the same operations in both. None: the call must run
        eagerly, because `GraphedNetwork.prepare` was not called before it."""
        ...

    def fail(self, error: Exception) -> None:
        """Raise an error that a hook raised, or keep the error and capture nothing more."""
        ...

    def take_back(self) -> Any:
        """Undo what this call added to the maps' counts, and return it for `add_again`."""
        ...

    def add_again(self, additions: Any) -> None:
        """Count what a replay adds to the maps. additions: from `take_back`, when the graph was made."""
        ...


@dataclass(frozen=True)
class Call:
    """A call of the network that may get a graph, or be replayed."""

    kind: Hashable
    """Calls of the same kind start the same kernels, so one graph does for all of them."""
    hooks: CaptureHooks
    leaves: Sequence[Any]
    """All values in the arguments as a flat list: tensors, and values of the types in SCALARS."""
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    """(args, kwargs)"""


@dataclass(frozen=True)
class CallGraph:
    """The CUDA graph of one call. It is replayed for all calls of the same kind."""

    replay: Callable[[], None]
    """Runs the call's kernels again, on the present values of `inputs`."""
    inputs: Sequence[torch.Tensor]
    """The tensors that the graph reads as arguments. `replay_with` copies a call's tensors into them."""
    result: Any
    """What the call returned. Each replay fills its tensors anew."""
    additions: Any
    """What the call adds to the maps, from `CaptureHooks.take_back`."""
    uses: frozenset[Hashable]
    """Names of the tensors in `GraphStore.tensors` that the call uses."""
    kept_alive: Sequence[torch.Tensor]
    """All tensors that the call's operations read. The graph holds them, because it reads their addresses again."""

    def replay_with(self, leaves: Sequence[Any]) -> None:
        """Replay the graph for another call. leaves: that call's `Call.leaves`; its tensors are copied into `inputs`
        first."""
        tensors = (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        for target, value in zip(self.inputs, tensors, strict=True):
            target.copy_(value, non_blocking=True)
        self.replay()


@dataclass
class GraphStore:
    """What stays from one capture to the next, until the network changes."""

    state: Any = None
    """The network's state for which the graphs were made, from `examine`."""
    graphs: dict[Hashable, CallGraph] = field(default_factory=dict)
    """Kind of call → its graph."""
    tensors: dict[Hashable, torch.Tensor] = field(default_factory=dict)
    """Name → a tensor that calls and their replays add to, from `GraphedNetwork.tensor`."""
    earlier_kinds: set[Hashable] = field(default_factory=set)
    """The kinds of calls in earlier captures."""

    def clear_tensors(self) -> None:
        """Set the tensors that graphs use to 0, and free the others."""
        used = set().union(*(graph.uses for graph in self.graphs.values()))
        self.tensors = {name: tensor.zero_() for name, tensor in self.tensors.items() if name in used}


@dataclass
class CaptureState:
    """What is known about one capture, from its beginning until the next capture begins."""

    state: Any = None
    """The network's state that this capture's replays read, from `examine`."""
    eager_because: str = ""
    """Why all calls of this capture run eagerly; "" if they may be replayed."""
    has_replayed: bool = False
    """Whether a call was replayed."""
    kinds: set[Hashable] = field(default_factory=set)
    """The kinds of calls that this capture has run."""
    uses: set[Hashable] = field(default_factory=set)
    """Names of the tensors in `GraphStore.tensors` that this capture's calls use."""


class AttachedHooks(NamedTuple):
    """The capture's hooks, while they are in the network."""

    hooks: CaptureHooks
    handles: frozenset[int]
    """Ids of the handles that torch returned for the hooks."""


@dataclass
class Trial:
    """The seconds that calls took in a trial, in both ways."""

    eager_seconds: list[float] = field(default_factory=list)
    replay_seconds: list[float] = field(default_factory=list)


@torch.inference_mode(False)
@torch.no_grad()
def copies(values: Any) -> Any:
    """The same structure of values, with copies of its tensors. The copies are normal tensors even in inference mode,
    so that later calls can write to them."""
    return tree_map_only(torch.Tensor, torch.clone, values)


def examine(network: Any, own_hooks: Collection[int] = ()) -> tuple[Any, str]:
    """(state, reason) of a network.

    state: everything that graphs depend on besides a call's arguments, to be compared with `==`. It has the addresses
    of weights, plain attributes of all modules (such as a LoRA's scale), attention processors, and torch's settings.
    reason: why calls can have no graphs; "" if they can. own_hooks: ids of the handles of the capture's hooks, which do
    not prevent graphs."""
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
        attributes = vars(module).items()
        values.extend((name, _compared(value)) for name, value in attributes if name not in _OF_MODULES)
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
    have; None: it may have any. That is for the network itself, whose hooks also run when a call is replayed."""
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
"""Attributes that every module has, and that `examine` reads in other ways or does not need."""


def _compared(value: Any) -> Any:
    """What `examine` compares of an attribute: a plain value (VALUES) itself, a tensor's addresses, each entry of a
    list or dict, or a function or processor with its plain attributes. None for anything else."""
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
    """The memory addresses of a tensor's values. A quantised layer's tensor consists of other tensors, whose addresses
    count."""
    if tensor is None:
        return []
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor.data_ptr()]
    addresses: list[int] = []
    for name in tensor.__tensor_flatten__()[0]:  # type: ignore[attr-defined]
        addresses += _addresses(getattr(tensor, name))
    return addresses


def _backend_of_diffusers() -> Any:
    """The implementation of attention that a script set for all of diffusers; None without diffusers."""
    dispatch = sys.modules.get("diffusers.models.attention_dispatch")
    registry = getattr(dispatch, "_AttentionBackendRegistry", None)
    return getattr(registry, "_active_backend", None)
