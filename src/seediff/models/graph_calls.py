"""What `GraphedNetwork` (graphs.py) knows of a capture, of a call in it, and of a call's graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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
    """Names of the tensors in `GraphedNetwork.memory` that the call uses."""
    read: Sequence[torch.Tensor]
    """All tensors that the call read, which must live as long as the graph."""

    def replay_with(self, leaves: Sequence[Any]) -> None:
        """Replay with the tensors of another call, which are copied to where the graph reads its own."""
        tensors = (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        for own, value in zip(self.inputs, tensors, strict=True):
            own.copy_(value, non_blocking=True)
        self.replay()


@dataclass
class Capture:
    """What is known of one capture, from its first call to the next capture's."""

    state: Any = None
    """The network's state that the replays have read, from `examine`."""
    must_compare: bool = False
    """Whether the next call with a graph runs both ways."""
    has_replayed: bool = False
    kinds: set[Hashable] = field(default_factory=set)
    """The kinds of its calls."""
    touched: set[Hashable] = field(default_factory=set)
    """Names of the tensors in `GraphedNetwork.memory` that its calls use."""


@torch.inference_mode(False)
@torch.no_grad()
def copies(values: Any) -> Any:
    """The same structure of values, with tensors copied. Even in inference mode the copies are normal tensors, so that
    later calls can write to them."""
    return tree_map_only(torch.Tensor, torch.clone, values)
