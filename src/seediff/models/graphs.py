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

Whether replays are faster depends on the network, the batch, the host and the card. So a network may have a trial of
its first graph:

    1  The call whose graph was made runs both ways, and all bytes are compared. Its result is the eager call's.
    2  Further calls of this kind run eagerly and replayed in turn, timed.
    3  If replays are faster, the trial is over: from now on, calls are replayed as in a network without a trial.

If a byte differs, if replays are not faster, or if making a graph fails, graphs are given up: all calls run eagerly for
as long as the network is loaded.
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
from .graph_calls import Attached, Call, CallGraph, Capture, CaptureHooks, Kept, Trial, copies
from .graph_changes import MARK, SCALARS, examine
from .graph_maker import GraphMaker, Reading

MOST_GRAPHS = 8
"""Maximum number of graphs of a network. Calls of further kinds run eagerly: graphs that take turns would cost more
than they save."""
MANY_CALLS = 10
"""A capture of this many calls earns its graphs. In a shorter capture, only kinds from an earlier capture get a graph:
a photograph has six calls, and most shapes of photographs come only once."""
ARGUMENTS = (torch.Tensor, *SCALARS)
"""Calls with arguments of these types can have a graph."""
TIMED_CALLS = 3
"""A trial times this many calls eagerly, and as many replayed."""
WORTH = 0.95
"""Replays are kept if they take at most this share of the time of eager calls."""


class GraphedNetwork:
    """Takes the place of a network's `forward`. The network's own hooks run at every call. Hooks of its layers run
    only while a call runs eagerly or its graph is made."""

    def __init__(self, network: Any, maker: GraphMaker, *, trial: bool = False) -> None:
        # For as long as the network is loaded
        self.network, self.maker = network, maker
        self.own_forward = network.forward
        self.replaces_own = "forward" in vars(network)
        """Whether `forward` was replaced before, for example by offloading."""
        self.trial: Trial | None = Trial() if trial else None
        """The trial; None if there is none, or if it is over."""
        self.gave_up = ""
        """Why graphs were given up; "" if they were not."""
        self.graphs_made = self.replayed_calls = 0
        self._explains = not trial
        """Whether notices say why calls run eagerly. They do if the user asked for graphs."""
        self._explained: set[str] = set()

        self.kept = Kept()  # until the network changes
        self.capture = Capture()  # until the next capture
        self._attached: Attached | None = None  # in `captured_by`
        self.makes_graph = False
        """Whether the graph of a call is being made. Errors of hooks must then be raised, because they end it."""

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

    @property
    def eager_because(self) -> str:
        """Why the calls of this capture run eagerly; "" if they may be replayed."""
        return self.gave_up or self.capture.eager_because

    # A capture

    @contextmanager
    def captured_by(self, hooks: CaptureHooks, handles: Sequence[Any]) -> Iterator[None]:
        """In this block, calls are captured, so they are replayed or get graphs. hooks: what captures. handles: of
        all hooks in the network that belong to it."""
        self._attached = Attached(hooks, frozenset(handle.id for handle in handles))
        try:
            yield
        finally:
            self._attached = None

    def prepare(self) -> None:
        """Begin a capture, before its first call. Graphs of a network that has changed are deleted, and memory that
        no graph uses is freed. All other memory becomes 0; a graph cannot do this, because its replays would do it,
        too."""
        state, why = self._examine()
        if self.replaces_own:
            why = "its forward was replaced (offload?)"
        if self._explains and not self.gave_up:
            self._explain(why)
        self.kept.kinds |= self.capture.kinds
        if state != self.kept.state:
            self._forget_all()
            self.kept.state = state
        self.kept.clear_memory()
        self.capture = Capture(state, why)

    def _examine(self) -> tuple[Any, str]:
        return examine(self.network, () if self._attached is None else self._attached.handles)

    @torch.inference_mode(False)  # later captures write to it
    def tensor(self, name: Hashable, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """The tensor of this name, shape and number format; 0 at first. It outlives the capture if a graph uses it."""
        key = (name, shape, dtype)
        if key not in self.kept.memory:
            self.kept.memory[key] = torch.zeros(shape, dtype=dtype, device=device)
        self.capture.touched.add(key)
        return self.kept.memory[key]

    def check_unchanged(self) -> None:
        """End a capture. Raise UserError if the network was changed since the first call: replays did not read the
        change."""
        if self.capture.has_replayed and self._examine()[0] != self.capture.state:
            problem = "was changed while it drew, which replays do not read"
            raise UserError("the network", problem, "change it between pictures, or draw without graphs")

    # A call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._read(args, kwargs)
        if call is None:
            return self.own_forward(*args, **kwargs)
        graph = self.kept.graphs.get(call.kind)
        if graph is None and self._is_worth_a_graph(call):
            graph = self._make_graph(call)
            if graph is not None and self.trial is not None:
                return self._run_both(call, graph)
        if graph is None:
            return self._run_eagerly(call)
        if self.trial is None:
            return self._replay(call, graph)
        return self._take_turns(call, graph, self.trial)

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The call with these arguments; None if it runs as in a network without graphs."""
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
        """Whether a call without a graph should get one: this capture has run a call of the same kind, which made
        its memory and compiled its kernels, and more calls of the kind will follow."""
        kinds, steps = self.capture.kinds, call.hooks.total_steps
        if call.kind not in kinds:
            kinds.add(call.kind)
            return False
        if self.trial is not None and self.kept.graphs:
            return False
        comes_often = call.kind in self.kept.kinds or steps is None or steps >= MANY_CALLS
        return comes_often and len(self.kept.graphs) < MOST_GRAPHS

    def _make_graph(self, call: Call) -> CallGraph | None:
        """Make the graph of a call, without running the call. None if the call must run eagerly: memory is short or
        CUDA refuses something, so graphs are given up; or capture's hooks raised an error, which they are given."""
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
        touched = frozenset(self.capture.touched)
        graph = CallGraph(replay, inputs, found, additions, touched, reading.alive())
        self.kept.graphs[call.kind] = graph
        self.graphs_made += 1
        if not self.capture.has_replayed:  # a first call may have filled caches of the network
            self.capture.state = self._examine()[0]
        return graph

    # Ways to run a call

    def _run_eagerly(self, call: Call) -> Any:
        args, kwargs = call.arguments
        if self.gave_up:
            return self.own_forward(*args, **kwargs)
        args, kwargs = copies(call.arguments)  # laid out as a graph's inputs
        return self.maker.run(lambda: self.own_forward(*args, **kwargs))

    def _replay(self, call: Call, graph: CallGraph) -> Any:
        call.hooks.add_again(graph.additions)
        graph.replay_with(call.leaves)
        self.replayed_calls += 1
        self.capture.has_replayed = True
        self.capture.touched |= graph.touched
        return copies(graph.result)  # schedulers keep results of earlier steps

    def _run_both(self, call: Call, graph: CallGraph) -> Any:
        """Replay a call, undo what the replay did, run the call eagerly and return its result. Give graphs up if any
        byte of the results or maps differs."""
        kept = [self.kept.memory[name] for name in graph.touched]
        before = copies(kept)
        graph.replay_with(call.leaves)
        replayed = tree_leaves(copies((graph.result, kept)))
        for tensor, earlier in zip(kept, before, strict=True):
            tensor.copy_(earlier)
        found = self._run_eagerly(call)
        if not all(map(have_same_bytes, replayed, tree_leaves((found, kept)))):
            self._give_up("a replayed call gave other bytes than an eager call on this card; please report it")
        return found

    def _take_turns(self, call: Call, graph: CallGraph, trial: Trial) -> Any:
        """Run and time a call in the way that was timed less often, first eagerly. At the end of the trial, keep the
        faster way."""
        if len(trial.replay_seconds) < len(trial.eager_seconds):
            found, seconds = self.maker.timed(lambda: self._replay(call, graph))
            trial.replay_seconds.append(seconds)
        else:
            found, seconds = self.maker.timed(lambda: self._run_eagerly(call))
            trial.eager_seconds.append(seconds)
        if len(trial.replay_seconds) == TIMED_CALLS:
            self.trial = None
            ratio = median(trial.replay_seconds) / median(trial.eager_seconds)
            if ratio > WORTH:
                self._give_up(f"replays take {ratio:.2f} of the time of eager calls")
            else:
                text = f"calls of the network are replayed as CUDA graphs: {ratio:.2f} of the time, same bytes"
                warnings.warn(text, Notice, stacklevel=3)
        return found

    # The end of replays

    def _give_up(self, reason: str) -> None:
        """Run all calls eagerly from now on, for as long as the network is loaded."""
        self.gave_up = reason
        self._explain(reason)
        self._forget_all()

    def _explain(self, reason: str) -> None:
        """Give notice of why calls run eagerly, once for each reason."""
        if reason and reason not in self._explained:
            self._explained.add(reason)
            warnings.warn(f"runs without CUDA graphs: {reason}", Notice, stacklevel=3)

    def _forget_all(self) -> None:
        self.kept = Kept()
        self.maker.renew()


def find_graphs(network: Any) -> GraphedNetwork | None:
    """The `GraphedNetwork` of a network; None if it has none."""
    return getattr(network, MARK, None)


def _describe(leaf: Any) -> Hashable:
    """What one argument contributes to the kind of a call."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.stride(), leaf.dtype, leaf.device
    return type(leaf), leaf


def have_same_bytes(one: Any, other: Any) -> bool:
    """Whether two results, tensors or other values, are equal byte by byte: NaN equals itself, and 0 differs from
    −0. Waits for the GPU."""
    if not isinstance(one, torch.Tensor):
        return one == other
    pair = (tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other))
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(*pair)
