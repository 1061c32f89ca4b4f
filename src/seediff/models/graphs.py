"""Replays the calls of a network as CUDA graphs, with the hooks of attention capture inside.

    graphed = GraphedNetwork(pipe.unet, GraphMaker(device))    # pipelines call the network as before
    graphed.restore()

At batch 1 a GPU waits for the host, which starts a thousand kernels for a call, and three or more for a captured layer.
A replay is one call of the driver. It runs the same kernels on the same memory, so pictures and maps keep their bytes.

Calls are of one kind if they start the same kernels: their tensors have the same shapes, their other arguments the same
values, and the recorder does the same (`CaptureHooks.kind_of_call`). So steps that are not captured, guidance in two
calls and texts of several lengths need no care here: each is a kind of its own. In each capture the first call of a
kind runs eagerly, as without graphs: it compiles kernels, and makes the running maps. Of a later call a graph is made,
if the kind comes often; all calls after it replay that graph.

Whether replays are faster depends on the network, the batch, the host and the card. So a network may have a trial,
which is of one kind of call. A network is always in one of four modes:

    mode       a kind of call with a graph runs                           next mode
    WANTED     replayed                                                   GIVEN_UP if making one fails
    TRIAL      the first time both ways, to compare all bytes; then       WON, or GIVEN_UP if replays are not faster, a
               eagerly and replayed in turn, timed                        byte differs or making a graph fails
    WON        replayed; in some captures, one call runs both ways        GIVEN_UP as in a trial
    GIVEN_UP   eagerly, as all other calls

The result of a call that runs both ways is that of the eager call.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from statistics import median
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_leaves

from ..errors import Notice, UserError, first_line
from .graph_calls import Call, CallGraph, Capture, CaptureHooks, copies
from .graph_changes import MARK, SCALARS, examine
from .graph_maker import GraphMaker, Reading

MOST_GRAPHS = 8
"""Maximum number of graphs of a network. Calls of further kinds run eagerly: graphs that take turns would cost more
than they save."""
MANY_CALLS = 10
"""A capture of so many calls earns its graphs. In a shorter one, only kinds that an earlier capture had get one:
photographs of many shapes have six calls each, and most shapes come once."""
ARGUMENTS = (torch.Tensor, *SCALARS)
"""Types of arguments of calls that can have a graph."""
TIMED_CALLS = 3
"""Calls that a trial times in each way."""
WORTH = 0.95
"""Replays are kept if they take at most this share of the time of eager calls."""
CHECKED_CAPTURES = 16
"""Of so many captures, one compares a replay with an eager call, byte by byte."""


class Mode(Enum):
    """Whether calls of a network are replayed; the table above has what each mode means."""

    WANTED = auto()
    TRIAL = auto()
    WON = auto()
    GIVEN_UP = auto()


class GraphedNetwork:
    """Takes the place of a network's `forward`. The network's own hooks run at every call, those of its layers only
    while a call runs eagerly or its graph is made.
    """

    def __init__(self, network: Any, maker: GraphMaker, *, trial: bool = False) -> None:
        # 1. For as long as the network is loaded
        self.network, self.maker = network, maker
        self.own_forward = network.forward
        self.replaces_own = "forward" in vars(network)
        """Whether `forward` was replaced before, for example by offloading."""
        self.mode = Mode.WANTED
        if trial:
            self.mode = Mode.TRIAL
        self.graphs_made = self.replayed_calls = self._captures = 0
        """The number of calls, and of captures, until now."""
        self._replay_seconds, self._eager_seconds = list[float](), list[float]()
        self._told: set[str] = set()

        # 2. Until the network changes
        self._state: Any = None
        """From `examine`: what the graphs depend on."""
        self._graphs: dict[Hashable, CallGraph] = {}
        self.memory: dict[Hashable, torch.Tensor] = {}
        """Tensors that graphs read and write, so that they outlive a capture, from `tensor`."""
        self._kinds_before: set[Hashable] = set()
        """Kinds of calls in earlier captures."""

        # 3. Until the next capture
        self.hooks: CaptureHooks | None = None
        """The capture's; without any, calls run eagerly."""
        self._own_hooks: set[int] = set()
        """Ids of the handles of the capture's hooks."""
        self._capture = Capture()
        self.eager_because = ""
        """Why calls run eagerly, in GIVEN_UP for good; "" if they may be replayed."""
        self.makes_graph = False
        """Whether the graph of a call is being made, which an error of a hook ends."""

        self.__signature__ = inspect.signature(network.forward)  # modular pipelines read which arguments it has
        network.forward = self
        setattr(network, MARK, self)

    def restore(self) -> None:
        """Give the network its own `forward` back, unless another has taken its place, and free the memory."""
        self._forget_all()
        if self.network.forward is self:
            del self.network.forward
            if self.replaces_own:
                self.network.forward = self.own_forward
        delattr(self.network, MARK)

    # A capture

    @contextmanager
    def captured_by(self, hooks: CaptureHooks, handles: Sequence[Any]) -> Iterator[None]:
        """In this block, make and replay graphs of calls with the hooks of captures, which have these handles."""
        self.hooks, self._own_hooks = hooks, {handle.id for handle in handles}
        try:
            yield
        finally:
            self.hooks, self._own_hooks = None, set()

    def prepare(self) -> None:
        """Begin a capture, before its first call: throw away graphs of a network that has changed, and memory that
        no graph uses. All other memory becomes 0: a graph cannot do so, because its replays would, too."""
        state, why = examine(self.network, self._own_hooks)
        if self.replaces_own:
            why = "its forward was replaced (offload?)"
        if self.mode is not Mode.GIVEN_UP:
            self.eager_because = why
        if self.mode is Mode.WANTED:
            self._tell(why)
        self._kinds_before |= self._capture.kinds
        if state != self._state:
            self._forget_all()
            self._state = state
        used = set().union(*(graph.touched for graph in self._graphs.values()))
        self.memory = {name: tensor.zero_() for name, tensor in self.memory.items() if name in used}
        self._captures += 1
        self._capture = Capture(state, self.mode is Mode.WON and self._captures % CHECKED_CAPTURES == 0)

    @torch.inference_mode(False)  # later captures write to it
    def tensor(self, name: Hashable, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """A tensor that outlives the capture if a graph uses it, by what it holds; 0 at first."""
        key = (name, shape, dtype)
        if key not in self.memory:
            self.memory[key] = torch.zeros(shape, dtype=dtype, device=device)
        self._capture.touched.add(key)
        return self.memory[key]

    def check_unchanged(self) -> None:
        """End a capture: raise UserError if the network was changed since the first call, because replays do not read
        the change."""
        if self._capture.has_replayed and examine(self.network, self._own_hooks)[0] != self._capture.state:
            problem = "was changed while it drew, which replays do not read"
            raise UserError("the network", problem, "change it between pictures, or draw without graphs")

    # A call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._read(args, kwargs)
        if call is None:
            return self.own_forward(*args, **kwargs)
        graph = self._graphs.get(call.kind)
        if graph is None and self._is_worth_a_graph(call):
            graph = self._make_graph(call)
            if self.mode is Mode.GIVEN_UP:
                return self.own_forward(*args, **kwargs)
        if graph is None:
            return self._run_eagerly(call)
        if self._capture.must_compare:
            self._capture.must_compare = False
            return self._run_both(call, graph)
        if self.mode is Mode.TRIAL:
            return self._take_turns(call, graph)
        return self._replay(call, graph)

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The call with these arguments; None if it must run eagerly."""
        if self.hooks is None or self.eager_because or torch.is_grad_enabled():
            return None
        of_hooks = self.hooks.kind_of_call()
        if of_hooks is None:
            return None
        leaves, structure = tree_flatten((args, kwargs))
        strange = next((type(leaf).__name__ for leaf in leaves if not isinstance(leaf, ARGUMENTS)), None)
        if strange is not None:
            if self.mode is Mode.WANTED:
                self._tell(f"a call is given a {strange}, which a replay would not read again")
            return None
        kind = (str(structure), tuple(map(_describe, leaves)), of_hooks, threading.get_ident())
        return Call(kind, self.hooks, leaves, (args, kwargs))

    def _is_worth_a_graph(self, call: Call) -> bool:
        """Whether this capture has already run a call of this kind, which made its memory and compiled its kernels, and
        more calls of the kind will follow."""
        kinds, steps = self._capture.kinds, call.hooks.total_steps
        if call.kind not in kinds:
            kinds.add(call.kind)
            return False
        if self.mode is Mode.TRIAL and self._graphs:
            return False
        comes_often = call.kind in self._kinds_before or steps is None or steps >= MANY_CALLS
        return comes_often and len(self._graphs) < MOST_GRAPHS

    def _make_graph(self, call: Call) -> CallGraph | None:
        """Make the graph of a call; None if it must run eagerly. Whatever CUDA refuses, including for lack of memory,
        ends graphs for this network."""
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
            found, replay = self.maker.make(run)
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
        touched = frozenset(self._capture.touched)
        graph = CallGraph(replay, inputs, found, additions, touched, reading.alive())
        self._graphs[call.kind] = graph
        self.graphs_made += 1
        if not self._capture.has_replayed:  # a first call may have filled caches of the network
            self._capture.state = examine(self.network, self._own_hooks)[0]
        if self.mode is Mode.TRIAL:
            self._capture.must_compare = True
        return graph

    # Ways to run a call

    def _run_eagerly(self, call: Call) -> Any:
        args, kwargs = copies(call.arguments)  # laid out as a graph's inputs
        return self.maker.run(lambda: self.own_forward(*args, **kwargs))

    def _replay(self, call: Call, graph: CallGraph) -> Any:
        call.hooks.add_again(graph.additions)
        graph.replay_with(call.leaves)
        self.replayed_calls += 1
        self._capture.has_replayed = True
        self._capture.touched |= graph.touched
        return copies(graph.result)  # schedulers keep results of earlier steps

    def _run_both(self, call: Call, graph: CallGraph) -> Any:
        """The result and the maps of an eager call, after they were compared with those of a replay, of which nothing
        is kept. If a byte differs, all further calls run eagerly."""
        kept = [self.memory[name] for name in graph.touched]
        before = copies(kept)
        graph.replay_with(call.leaves)
        replayed = tree_leaves(copies((graph.result, kept)))
        for tensor, earlier in zip(kept, before, strict=True):
            tensor.copy_(earlier)
        found = self._run_eagerly(call)
        if not all(map(have_same_bytes, replayed, tree_leaves((found, kept)))):
            self._give_up("a replayed call gave other bytes than an eager call on this card; please report it")
        return found

    def _take_turns(self, call: Call, graph: CallGraph) -> Any:
        """Run a call in the way that was timed less often. Once both were timed, the faster way is kept."""
        run, seconds = (lambda: self._run_eagerly(call)), self._eager_seconds
        if len(self._replay_seconds) < len(self._eager_seconds):
            run, seconds = (lambda: self._replay(call, graph)), self._replay_seconds
        found, taken = self.maker.timed(run)
        seconds.append(taken)
        if len(self._replay_seconds) < TIMED_CALLS:
            return found
        ratio = median(self._replay_seconds) / median(self._eager_seconds)
        if ratio > WORTH:
            self._give_up(f"replays take {ratio:.2f} of the time of eager calls")
        else:
            self.mode = Mode.WON
            text = f"calls of the network are replayed as CUDA graphs: {ratio:.2f} of the time, same bytes"
            warnings.warn(text, Notice, stacklevel=3)
        return found

    # The end of replays

    def _give_up(self, reason: str) -> None:
        """Run all calls eagerly from now on, for as long as the network is loaded."""
        self.mode, self.eager_because = Mode.GIVEN_UP, reason
        self._tell(reason)
        self._forget_all()

    def _tell(self, reason: str) -> None:
        """Give notice of why calls run eagerly, once for each reason."""
        if reason and reason not in self._told:
            self._told.add(reason)
            warnings.warn(f"runs without CUDA graphs: {reason}", Notice, stacklevel=3)

    def _forget_all(self) -> None:
        for known in (self._graphs, self._kinds_before, self.memory):
            known.clear()
        self.maker.renew()


def find_graphs(network: Any) -> GraphedNetwork | None:
    """The graphs of a network; None if its calls never have any."""
    return getattr(network, MARK, None)


def _describe(leaf: Any) -> Hashable:
    """The part of a call's kind that one of its arguments decides."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.stride(), leaf.dtype, leaf.device
    return type(leaf), leaf


def have_same_bytes(one: Any, other: Any) -> bool:
    """Whether two results, tensors or other values, are equal byte by byte: NaN equals itself, and 0 is not −0. Waits
    for the GPU."""
    if not isinstance(one, torch.Tensor):
        return one == other
    pair = (tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other))
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(*pair)
