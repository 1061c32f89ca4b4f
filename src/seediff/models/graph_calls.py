"""What `GraphedNetwork` (graphs.py) knows: of a call, of its graph, of a capture, and from one capture to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils._pytree import tree_map_only


class CaptureHooks(Protocol):
    """What a graph must know of the hooks inside of the network. `attention.recorder.AttentionRecorder` is one."""

    total_steps: int | None
    """The number of steps in the capture; None: unknown."""

    def kind_of_call(self) -> Hashable:
        """All that decides which operations the hooks start in this call; None if the call must run eagerly, because no
        `prepare` came before it."""
        ...

    def fail(self, error: Exception) -> None:
        """Raise an error of the hooks, or keep it and do nothing more in this capture."""
        ...

    def take_back(self) -> Any:
        """Take back what this call added to the maps, and return it for `add_again`."""
        ...

    def add_again(self, additions: Any) -> None:
        """Count what a replay adds: the same as the call of its graph."""
        ...


@dataclass(frozen=True)
class Call:
    """A call of the network that may get a graph."""

    kind: Hashable
    hooks: CaptureHooks
    leaves: Sequence[Any]
    """All values in the arguments: tensors, and values of SCALARS (graph_changes.py)."""
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    """(args, kwargs)"""


@dataclass(frozen=True)
class CallGraph:
    """The CUDA graph of a call."""

    replay: Callable[[], None]
    """Runs it again, with what `inputs` are then."""
    inputs: Sequence[torch.Tensor]
    """The call's tensors, into which those of later calls are copied."""
    result: Any
    """What the call returned, whose tensors each replay fills."""
    additions: Any
    """What the call adds to the maps, from `CaptureHooks.take_back`."""
    touched: frozenset[Hashable]
    """Names of the tensors in `Kept.memory` that the call uses."""
    read: Sequence[torch.Tensor]
    """All tensors that the call read, which must live as long as the graph."""

    def replay_with(self, leaves: Sequence[Any]) -> None:
        """Replay with the tensors of another call, which are copied to where the graph reads its own."""
        tensors = (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        for own, value in zip(self.inputs, tensors, strict=True):
            own.copy_(value, non_blocking=True)
        self.replay()


@dataclass
class Kept:
    """What a network keeps from one capture to the next, until the network changes."""

    state: Any = None
    """From `examine`: what the graphs depend on."""
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
    """What is known of one capture, from its first call to the next capture's."""

    state: Any = None
    """The network's state that the replays have read, from `examine`."""
    eager_because: str = ""
    """Why its calls run eagerly; "" if they may be replayed."""
    has_replayed: bool = False
    kinds: set[Hashable] = field(default_factory=set)
    """The kinds of its calls."""
    touched: set[Hashable] = field(default_factory=set)
    """Names of the tensors in `Kept.memory` that its calls use."""


class Attached(NamedTuple):
    """The hooks of captures, while they are in the network."""

    hooks: CaptureHooks
    handles: frozenset[int]
    """Ids of the hooks' handles."""


@dataclass
class Trial:
    """How long the calls took that a trial has timed."""

    eager_seconds: list[float] = field(default_factory=list)
    replay_seconds: list[float] = field(default_factory=list)


@torch.inference_mode(False)
@torch.no_grad()
def copies(values: Any) -> Any:
    """The same structure of values, with tensors copied. Even in inference mode the copies are normal tensors, so that
    later calls can write to them."""
    return tree_map_only(torch.Tensor, torch.clone, values)
