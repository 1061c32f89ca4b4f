"""Replays the calls of a network as CUDA graphs, with the hooks of attention capture inside.

    graphed = GraphedNetwork(pipe.unet, GraphMaker(device))    # pipelines call the network as before
    graphed.restore()

At batch 1 a GPU waits for the host, which starts a thousand kernels for a call, and three or more for a captured layer.
A replay is one call of the driver. It runs the same kernels on the same memory, so pictures and maps keep their bytes.

Words: a *capture* collects the attention of one drawing; here it never means the making of a graph. A call runs
*eagerly* if it runs as without graphs. Two calls are of one *kind* if they start the same kernels: their tensors have
the same shapes, their other arguments the same values, and the hooks do the same (`CaptureHooks.kind_of_call`). For
example, captured steps are one kind, and steps that are not captured are another. A kind passes through these states:

    new         the first call in a capture runs eagerly: this compiles kernels, and makes the maps
     │
     │ a later call, if the kind comes often: its graph is made ──────────── fails ──────────────▶ given up
     ▼                                                                                               ▲
    on trial    1. this call runs both ways, and all bytes are compared ──── bytes differ ───────────┤
     │          2. the next calls run eagerly and replayed by turns, timed ─ replays not faster ─────┘
     │ replays are faster: the trial is over, also for kinds that come later
     ▼
    replayed    all further calls of the kind, also in later captures

Without a trial, a kind with a graph is replayed at once. Given up means that all calls of all kinds run eagerly, as
long as the network is loaded.

The trial exists because the gain depends on the network, the batch, the host and the card. It tries the first graph.
If the network changes between two captures, for example by a LoRA, its graphs are deleted and all kinds are new.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_leaves

from ..errors import Notice, UserError, first_line
from .graph_maker import GraphMaker, Reading
from .graph_states import (
    MARK,
    SCALARS,
    AttachedHooks,
    Call,
    CallGraph,
    CaptureHooks,
    CaptureState,
    GraphStore,
    Trial,
    copies,
    examine,
)

MOST_GRAPHS = 8
"""Maximum number of graphs of a network. Calls of further kinds run eagerly: graphs that take turns would cost more
than they save."""
MANY_CALLS = 10
"""A capture of this many calls earns its graphs. In a shorter capture, only kinds from an earlier capture get a graph:
a photograph has six calls, and most shapes of photographs come only once."""
ARGUMENTS = (torch.Tensor, *SCALARS)
"""Types of arguments. A call with an argument of another type runs eagerly."""
TIMED_CALLS = 3
"""A trial times this many calls eagerly, and as many replayed."""
WORTH = 0.95
"""A trial keeps replays if they take at most this share of the time of eager calls."""


class GraphedNetwork:
    """Takes the place of a network's `forward`. Hooks of the network itself run at every call. Hooks of its layers run
    only while a call runs eagerly or its graph is made."""

    def __init__(self, network: Any, maker: GraphMaker, *, trial: bool = False) -> None:
        """network: the network, whose `forward` is replaced. maker: makes its graphs. trial: whether to try the first
        graph, and give graphs up if it is not faster."""
        # As long as the network is loaded
        self.network, self.maker = network, maker
        self.own_forward = network.forward
        self.replaces_own = "forward" in vars(network)
        """Whether `forward` was replaced before, for example by offloading."""
        self.trial: Trial | None = Trial() if trial else None
        """The trial; None without a trial, and after it."""
        self.gave_up = ""
        """Why graphs were given up; "" if they were not."""
        self.graphs_made = self.replayed_calls = 0
        self._explains = not trial
        """Whether notices say why calls run eagerly: only if the user insisted on graphs."""
        self._explained: set[str] = set()
        """The reasons that notices gave."""

        self.store = GraphStore()  # until the network changes
        self.capture = CaptureState()  # until the next capture
        self._attached: AttachedHooks | None = None  # in `captured_by`
        self.makes_graph = False
        """Whether a graph is being made. Hooks must then raise their errors, which end the making."""

        self.__signature__ = inspect.signature(network.forward)  # modular pipelines read which arguments it has
        network.forward = self
        setattr(network, MARK, self)

    def restore(self) -> None:
        """Give the network its own `forward` back and free the memory. A `forward` that others put in later stays."""
        self._forget_all()
        if self.network.forward is self:
            del self.network.forward
            if self.replaces_own:
                self.network.forward = self.own_forward
        delattr(self.network, MARK)

    @property
    def eager_because(self) -> str:
        """Why the calls of this capture run eagerly; "" if they may be replayed."""
        return self.gave_up or self.capture.eager_because

    # A capture

    @contextmanager
    def captured_by(self, hooks: CaptureHooks, handles: Sequence[Any]) -> Iterator[None]:
        """In this block, attention is captured, so calls may get graphs and be replayed. hooks: what captures. handles:
        what torch returned when these hooks were put into the network."""
        self._attached = AttachedHooks(hooks, frozenset(handle.id for handle in handles))
        try:
            yield
        finally:
            self._attached = None

    def prepare(self) -> None:
        """Begin a capture, before its first call. Deletes the graphs if the network has changed. Frees tensors that no
        graph uses, and sets the others to 0: a call cannot do this, because its graph would do it at every replay."""
        state, why = self._examine()
        if self.replaces_own:
            why = "its forward was replaced (offload?)"
        if self._explains and not self.gave_up:
            self._explain(why)
        self.store.earlier_kinds |= self.capture.kinds
        if state != self.store.state:
            self._forget_all()
            self.store.state = state
        self.store.clear_tensors()
        self.capture = CaptureState(state, why)

    def _examine(self) -> tuple[Any, str]:
        """(state, reason): as `examine` returns them, with the hooks of the running capture allowed."""
        return examine(self.network, () if self._attached is None else self._attached.handles)

    @torch.inference_mode(False)  # later captures write to it
    def tensor(self, name: Hashable, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """The tensor with this name, shape and number format, in which a capture adds up maps. It begins with 0. If a
        graph uses it, the next capture gets the same tensor, at the same address."""
        key = (name, shape, dtype)
        if key not in self.store.tensors:
            self.store.tensors[key] = torch.zeros(shape, dtype=dtype, device=device)
        self.capture.uses.add(key)
        return self.store.tensors[key]

    def check_unchanged(self) -> None:
        """End a capture. Raise UserError if the network was changed since the first call, because replays did not read
        the change."""
        if self.capture.has_replayed and self._examine()[0] != self.capture.state:
            problem = "was changed while it drew, which replays do not read"
            raise UserError("the network", problem, "change it between pictures, or draw without graphs")

    # A call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a call of the network in one of the ways below."""
        call = self._read(args, kwargs)
        if call is None:
            return self.own_forward(*args, **kwargs)
        graph = self.store.graphs.get(call.kind)
        if graph is None and self._is_worth_a_graph(call):
            graph = self._make_graph(call)
            if graph is not None and self.trial is not None:
                return self._run_both(call, graph)  # on trial, 1.
        if graph is None:
            return self._run_eagerly(call)  # new, or given up
        if self.trial is None:
            return self._replay(call, graph)  # replayed
        return self._take_turns(call, graph, self.trial)  # on trial, 2.

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The call with these arguments; None if it must run as in a network without graphs."""
        if self._attached is None or self.eager_because or torch.is_grad_enabled():
            return None
        of_hooks = self._attached.hooks.kind_of_call()
        if of_hooks is None:
            return None
        leaves, structure = tree_flatten((args, kwargs))
        strange = next((type(leaf).__name__ for leaf in leaves if not isinstance(leaf, ARGUMENTS)), None)
        if strange is not None:
            if self._explains:
                self._explain(f"a call is given a {strange}, which a replay would not read again")
            return None
        kind = (str(structure), tuple(map(_describe, leaves)), of_hooks, threading.get_ident())
        return Call(kind, self._attached.hooks, leaves, (args, kwargs))

    def _is_worth_a_graph(self, call: Call) -> bool:
        """Whether to make a graph of a call whose kind has none: this capture has run a call of the kind, and more will
        follow."""
        kinds, steps = self.capture.kinds, call.hooks.total_steps
        if call.kind not in kinds:
            kinds.add(call.kind)
            return False
        if self.trial is not None and self.store.graphs:  # a trial has one graph
            return False
        comes_often = call.kind in self.store.earlier_kinds or steps is None or steps >= MANY_CALLS
        return comes_often and len(self.store.graphs) < MOST_GRAPHS

    def _make_graph(self, call: Call) -> CallGraph | None:
        """Make the graph of a call, without running the call. None if that fails, so that the call must run eagerly. If
        a hook failed, the hooks get its error; for any other reason, graphs are given up."""
        if self.maker.is_short_of_memory():
            self._give_up("too little memory is free for a graph")
            return None
        args, kwargs = copies(call.arguments)
        hooks, reading = call.hooks, Reading()

        def run() -> Any:
            with reading:
                return self.own_forward(*args, **kwargs)

        self.makes_graph = True
        try:
            result, replay = self.maker.make(run)
        except UserError as error:
            self.makes_graph = False
            hooks.take_back()
            hooks.fail(error)
            return None
        except Exception as error:
            hooks.take_back()
            self._give_up(f"no graph of a call could be made ({first_line(error)})")
            self.maker.free_memory()
            return None
        finally:
            self.makes_graph = False

        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        additions = hooks.take_back()  # making it ran nothing; replays are counted
        graph = CallGraph(replay, inputs, result, additions, frozenset(self.capture.uses), reading.alive())
        self.store.graphs[call.kind] = graph
        self.graphs_made += 1
        # A first call may have filled caches of the network, which `check_unchanged` must not take for a change.
        if not self.capture.has_replayed:
            self.capture.state = self._examine()[0]
        return graph

    # Ways to run a call

    def _run_eagerly(self, call: Call) -> Any:
        """The result of a call that runs as without graphs."""
        args, kwargs = call.arguments
        if self.gave_up:
            return self.own_forward(*args, **kwargs)
        args, kwargs = copies(call.arguments)  # laid out as a graph's inputs
        return self.maker.run(lambda: self.own_forward(*args, **kwargs))

    def _replay(self, call: Call, graph: CallGraph) -> Any:
        """The result of a call by a replay of its kind's graph."""
        call.hooks.add_again(graph.additions)
        graph.replay_with(call.leaves)
        self.replayed_calls += 1
        self.capture.has_replayed = True
        self.capture.uses |= graph.uses
        return copies(graph.result)  # schedulers keep results of earlier steps

    def _run_both(self, call: Call, graph: CallGraph) -> Any:
        """The first step of a trial: replay a call, undo what the replay added to the maps, run the call eagerly, and
        return its result. Give graphs up if any byte of the results or maps differs."""
        maps = [self.store.tensors[name] for name in graph.uses]
        before = copies(maps)
        graph.replay_with(call.leaves)
        replayed = tree_leaves(copies((graph.result, maps)))
        for tensor, earlier in zip(maps, before, strict=True):
            tensor.copy_(earlier)
        result = self._run_eagerly(call)
        if not all(map(have_same_bytes, replayed, tree_leaves((result, maps)))):
            self._give_up("a replayed call gave other bytes than an eager call on this card; please report it")
        return result

    def _take_turns(self, call: Call, graph: CallGraph, trial: Trial) -> Any:
        """The other steps of a trial: time a call, by turns run eagerly and replayed, and return its result. After
        TIMED_CALLS of each, keep replays or give graphs up."""
        if len(trial.replay_seconds) < len(trial.eager_seconds):
            result, seconds = self.maker.timed(lambda: self._replay(call, graph))
            trial.replay_seconds.append(seconds)
        else:
            result, seconds = self.maker.timed(lambda: self._run_eagerly(call))
            trial.eager_seconds.append(seconds)
        if len(trial.replay_seconds) == TIMED_CALLS:
            self.trial = None
            ratio = median(trial.replay_seconds) / median(trial.eager_seconds)
            if ratio > WORTH:
                self._give_up(f"replays take {ratio:.2f} of the time of eager calls")
            else:
                text = f"calls of the network are replayed as CUDA graphs: {ratio:.2f} of the time, same bytes"
                warnings.warn(text, Notice, stacklevel=3)
        return result

    # The end of replays

    def _give_up(self, reason: str) -> None:
        """Run all calls eagerly from now on, as long as the network is loaded. reason: for a notice."""
        self.gave_up = reason
        self._explain(reason)
        self._forget_all()

    def _explain(self, reason: str) -> None:
        """Give notice why calls run eagerly, once for each reason; nothing for an empty reason."""
        if reason and reason not in self._explained:
            self._explained.add(reason)
            warnings.warn(f"runs without CUDA graphs: {reason}", Notice, stacklevel=3)

    def _forget_all(self) -> None:
        """Delete the graphs and all that belongs to them."""
        self.store = GraphStore()
        self.maker.renew()


def find_graphs(network: Any) -> GraphedNetwork | None:
    """The `GraphedNetwork` that took the place of a network's `forward`; None for any other network."""
    return getattr(network, MARK, None)


def _describe(leaf: Any) -> Hashable:
    """What an argument contributes to the kind of its call. leaf: a tensor or a plain value."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.stride(), leaf.dtype, leaf.device
    return type(leaf), leaf


def have_same_bytes(one: Any, other: Any) -> bool:
    """Whether two values, tensors or others, are equal byte by byte: NaN equals itself, and 0 differs from −0. Waits
    for the GPU."""
    if not isinstance(one, torch.Tensor):
        return one == other
    pair = (tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other))
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(*pair)
