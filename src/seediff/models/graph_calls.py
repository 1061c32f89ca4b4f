"""What `GraphedNetwork` (graphs.py) knows of a call, of a call's graph, of a capture, and from one capture to the
next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils._pytree import tree_map_only


class CaptureHooks(Protocol):
    """The hooks inside of the network, as graphs see them. `attention.recorder.AttentionRecorder` is one
    implementation."""

    total_steps: int | None
    """The number of steps in the capture; None: unknown."""

    def kind_of_call(self) -> Hashable:
        """A value that is equal for two calls if the hooks start the same operations in both. None if the call must
        run eagerly, because `prepare` was not called before it."""
        ...

    def fail(self, error: Exception) -> None:
        """Raise an error of the hooks, or keep it and capture nothing more."""
        ...

    def take_back(self) -> Any:
        """Remove what this call added to the maps, and return it for `add_again`."""
        ...

    def add_again(self, additions: Any) -> None:
        """Add to the counts what a replay adds to the maps. additions: from `take_back` of the call whose graph is
        replayed."""
        ...


@dataclass(frozen=True)
class Call:
    """A call of the network that may get a graph."""

    kind: Hashable
    hooks: CaptureHooks
    leaves: Sequence[Any]
    """All values in the arguments, as a flat list: tensors, and values of SCALARS (graph_changes.py)."""
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    """(args, kwargs)"""


@dataclass(frozen=True)
class CallGraph:
    """The CUDA graph of one call. It is replayed for all calls of the same kind."""

    replay: Callable[[], None]
    """Runs the call's kernels again, on the values that `inputs` have then."""
    inputs: Sequence[torch.Tensor]
    """The tensors that the graph reads. The tensors of later calls are copied into them."""
    result: Any
    """What the call returned. Each replay fills its tensors anew."""
    additions: Any
    """What the call adds to the maps, from `CaptureHooks.take_back`."""
    touched: frozenset[Hashable]
    """Names of the tensors in `Kept.memory` that the call uses."""
    read: Sequence[torch.Tensor]
    """All tensors that the call's operations read. They must live as long as the graph."""

    def replay_with(self, leaves: Sequence[Any]) -> None:
        """Replay the graph for another call. leaves: that call's values, whose tensors are copied into `inputs`
        first."""
        tensors = (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        for own, value in zip(self.inputs, tensors, strict=True):
            own.copy_(value, non_blocking=True)
        self.replay()


@dataclass
class Kept:
    """What a network keeps from one capture to the next, until the network changes."""

    state: Any = None
    """What the graphs depend on, from `examine`."""
    graphs: dict[Hashable, CallGraph] = field(default_factory=dict)
    """Kind of call → its graph."""
    memory: dict[Hashable, torch.Tensor] = field(default_factory=dict)
    """Name → a tensor that graphs read and write, from `GraphedNetwork.tensor`."""
    kinds: set[Hashable] = field(default_factory=set)
    """The kinds of calls in earlier captures."""

    def clear_memory(self) -> None:
        """Set the tensors that graphs use to 0, and free the others."""
        used = set().union(*(graph.touched for graph in self.graphs.values()))
        self.memory = {name: tensor.zero_() for name, tensor in self.memory.items() if name in used}


@dataclass
class Capture:
    """What is known of one capture: from its first call until the next capture begins."""

    state: Any = None
    """The network's state that the capture's replays have read, from `examine`."""
    eager_because: str = ""
    """Why the calls of this capture run eagerly; "" if they may be replayed."""
    has_replayed: bool = False
    kinds: set[Hashable] = field(default_factory=set)
    """The kinds of its calls."""
    touched: set[Hashable] = field(default_factory=set)
    """Names of the tensors in `Kept.memory` that the calls of this capture use."""


class Attached(NamedTuple):
    """Capture's hooks, while they are in the network."""

    hooks: CaptureHooks
    handles: frozenset[int]
    """Ids of the hooks' handles."""


@dataclass
class Trial:
    """The seconds of the calls that a trial has timed, in both ways."""

    eager_seconds: list[float] = field(default_factory=list)
    replay_seconds: list[float] = field(default_factory=list)


@torch.inference_mode(False)
@torch.no_grad()
def copies(values: Any) -> Any:
    """The same structure of values, with copies of the tensors. The copies are normal tensors even in inference
    mode, so that later calls can write to them."""
    return tree_map_only(torch.Tensor, torch.clone, values)
