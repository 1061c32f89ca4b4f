"""Runs the calls of a network as recorded CUDA graphs, with the hooks of attention capture inside.

    graphed = GraphedNetwork(pipe.unet, CudaRecording(device))    # pipelines call the network as before
    graphed.restore()

At batch 1 a GPU waits for the host, which starts a thousand kernels for a call, and three or more for a captured layer.
A replay is one call of the driver. It runs the same kernels on the same memory, so pictures and maps keep their bytes.

Calls are of one kind if they start the same kernels: their tensors have the same shapes, their other arguments the same
values, and the recorder does the same (`CaptureHooks.kind_of_call`). So steps that are not captured, guidance in two
calls and texts of several lengths need no care here: each is a kind of its own. In each capture the first call of a
kind runs as always: it compiles kernels, and makes the running maps. A later one is recorded, if the kind comes often;
all after it are replayed.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..errors import Notice, UserError, first_line
from ..workers import GPU_ALONE

MOST_RECORDED = 8
"""Maximum number of recordings of a network. Calls of further kinds run as always: recordings that take turns would
cost more than they save."""
MANY_CALLS = 10
"""A capture of so many calls earns its recordings. In a shorter one, only kinds that an earlier capture had are
recorded: photographs of many shapes have six calls each, and most shapes come once."""
PLAIN = (bool, int, float, str, bytes, type(None))
"""Types of arguments whose values decide the kind."""
RECORDED = (torch.Tensor, *PLAIN)
"""Types of arguments of calls that can be recorded."""
MARK = "_seediff_graphs"
"""Attribute of a network with recordings: its `GraphedNetwork`."""


class CudaRecording:
    """Recordings of one network. They share their memory, because they never run at the same time, and results are
    copied. The stream, the memory and the device are the network's own."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
        with torch.cuda.device(self.device):
            self._stream = torch.cuda.Stream(self.device)
            self.renew()

    def renew(self) -> None:
        """All recordings are gone: begin with new memory."""
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def _on_stream(self) -> Iterator[None]:
        """On the stream of the recordings, in order with what the thread does before and after, also after an error:
        `torch.cuda.graph` does not give a thread its stream back when it fails."""
        with torch.cuda.device(self.device):
            before = torch.cuda.current_stream(self.device)
            self._stream.wait_stream(before)
            with torch.cuda.stream(self._stream):
                try:
                    yield
                finally:
                    before.wait_stream(self._stream)

    def run(self, call: Callable[[], Any]) -> Any:
        """Call as always, where recordings are made."""
        with self._on_stream():
            return call()

    def record(self, call: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """The result, whose values are only there after a replay; and the replay. Raises RuntimeError with the first
        reason, where CUDA would say only that a recording failed."""
        graph = torch.cuda.CUDAGraph()
        first: BaseException | None = None
        with GPU_ALONE, self._on_stream():
            # thread_local: other threads may allocate memory meanwhile
            recording = torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")
            try:
                with recording:
                    try:
                        found = call()
                    except BaseException as error:
                        first = error
                        raise
            except Exception as error:
                with suppress(Exception):  # torch before 2.12 goes on as if it recorded
                    torch._C._cuda_endAllocateToPool(self.device.index, self._pool)
                reason = first or error
                if isinstance(reason, UserError):
                    raise reason from error
                raise RuntimeError(f"{type(reason).__name__}: {reason}") from reason
        return found, graph.replay


class CaptureHooks(Protocol):
    """What a recording must know of the hooks inside of the network. `attention.recorder.AttentionRecorder` is one.

    touched: names of the kept tensors that it uses.
    """

    total_steps: int | None
    touched: set[Hashable]

    def kind_of_call(self) -> Hashable:
        """All that decides which operations the hooks start in this call; None if it must run as always, because no
        `prepare` came before it."""
        ...

    def keep(self, error: Exception) -> None:
        """Raise an error of the hooks, or keep it and do nothing more in this capture."""
        ...

    def take_back(self) -> Any:
        """What this call added to which maps, which does not count."""
        ...

    def add_again(self, additions: Any) -> None:
        """Count what a replay adds."""
        ...


@dataclass(frozen=True)
class Recorded:
    """A recorded call. inputs: its tensors, into which those of later calls are copied. outputs: the leaves of its
    result. touched: names of the kept tensors that it uses."""

    replay: Callable[[], None]
    inputs: Sequence[torch.Tensor]
    outputs: Sequence[Any]
    structure: Any
    additions: Any
    touched: frozenset[Hashable]


class GraphedNetwork:
    """Takes the place of a network's `forward`. The network's own hooks run at every call, those of its layers only
    while a call runs as always or is recorded.

    memory: tensors that recordings read and write, so that they outlive a capture, by what they hold and its shape.
    slots: name of a layer → its row in the vector of numbers that are NaN after an overflow. hooks: those of the
    capture that runs; without any, calls run as always.
    eager_because: why they run as always in this capture, "" if they are recorded. recorded_calls, replayed_calls: how
    many there were. is_recording: whether a call is being recorded, which an error of a hook ends.
    """

    def __init__(self, network: Any, recording: CudaRecording) -> None:
        self.network, self.recording = network, recording
        self.own_forward = network.forward
        self.replaces_own = "forward" in vars(network)
        self.memory: dict[Hashable, torch.Tensor] = {}
        self.slots: dict[str, int] = {}
        self.hooks: CaptureHooks | None = None
        self.eager_because = ""
        self.recorded_calls = self.replayed_calls = 0
        self.is_recording = False
        self._failed = ""
        self._told: set[str] = set()
        self._recorded: dict[Hashable, Recorded] = {}
        self._seen_before: set[Hashable] = set()  # kinds of calls in earlier captures
        self._seen: set[Hashable] = set()  # and in this one
        self._own_hooks: set[int] = set()
        self._state: Any = None
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

    @contextmanager
    def captured_by(self, hooks: CaptureHooks, handles: Sequence[Any]) -> Iterator[None]:
        """In this block, record and replay calls with the hooks of a capture, which have these handles."""
        self.hooks, self._own_hooks = hooks, {handle.id for handle in handles}
        try:
            yield
        finally:
            self.hooks, self._own_hooks = None, set()

    def prepare(self) -> None:
        """Before anything is added to maps: throw away recordings of a network that has changed, and memory that no
        recording uses."""
        state, why = examine(self.network, self._own_hooks)
        if self.replaces_own:
            why = "its forward was replaced (offload?)"
        self.eager_because = self._failed or why
        self._tell()
        if state != self._state:
            self._forget_all()
            self._state = state
        used = set().union(*(recorded.touched for recorded in self._recorded.values()))
        self.memory = {name: tensor for name, tensor in self.memory.items() if name in used}
        self._seen_before |= self._seen
        self._seen = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # 1. Calls that run as always
        leaves, structure = tree_flatten((args, kwargs))
        hooks = self.hooks
        if hooks is None or self.eager_because:
            return self.own_forward(*args, **kwargs)
        doing = hooks.kind_of_call()
        if doing is None or torch.is_grad_enabled():
            return self.own_forward(*args, **kwargs)
        strange = next((type(leaf).__name__ for leaf in leaves if not isinstance(leaf, RECORDED)), None)
        if strange is not None:
            self.eager_because = f"a call is given a {strange}, which a replay would not read again"
            self._tell()
            return self.own_forward(*args, **kwargs)

        # 2. A recording of this kind, or one that is made now
        described = tuple(_describe(leaf) for leaf in leaves)
        kind = (str(structure), described, doing, threading.get_ident())
        recorded = self._recorded.get(kind)
        if recorded is None and self._is_worth_recording(kind, hooks):
            recorded = self._record(kind, hooks, leaves, structure)
        if self.eager_because:  # recording failed
            return self.own_forward(*args, **kwargs)
        if recorded is None:
            own_args, own_kwargs = tree_unflatten(_copies(leaves), structure)  # laid out as a recording's inputs
            return self.recording.run(lambda: self.own_forward(*own_args, **own_kwargs))

        # 3. Replay, on the inputs of this call
        given = (leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        for own, value in zip(recorded.inputs, given, strict=True):
            own.copy_(value, non_blocking=True)
        hooks.add_again(recorded.additions)
        recorded.replay()
        self.replayed_calls += 1
        return tree_unflatten(_copies(recorded.outputs), recorded.structure)  # schedulers keep results of earlier steps

    def _is_worth_recording(self, kind: Hashable, hooks: CaptureHooks) -> bool:
        """Whether this capture has already run a call of this kind, which made its memory and compiled its kernels, and
        more calls will follow."""
        if kind not in self._seen:
            self._seen.add(kind)
            return False
        comes_often = kind in self._seen_before or hooks.total_steps is None or hooks.total_steps >= MANY_CALLS
        return comes_often and len(self._recorded) < MOST_RECORDED

    def _record(self, kind: Hashable, hooks: CaptureHooks, leaves: Sequence[Any], structure: Any) -> Recorded | None:
        """Record a call; None if it must run as always. Whatever CUDA refuses, memory that runs out included, ends
        recording for this network."""
        own = _copies(leaves)
        args, kwargs = tree_unflatten(own, structure)
        self.is_recording = True
        try:
            found, replay = self.recording.record(lambda: self.own_forward(*args, **kwargs))
        except UserError as error:
            self.is_recording = False
            hooks.take_back()
            hooks.keep(error)
            return None
        except Exception as error:
            hooks.take_back()
            self._failed = self.eager_because = f"a call could not be recorded ({first_line(error)})"
            self._tell()
            self._forget_all()
            return None
        finally:
            self.is_recording = False

        outputs, shape = tree_flatten(found)
        inputs = [leaf for leaf in own if isinstance(leaf, torch.Tensor)]
        additions = hooks.take_back()  # recording ran nothing; the replay that follows is counted
        recorded = Recorded(replay, inputs, outputs, shape, additions, frozenset(hooks.touched))
        self._recorded[kind] = recorded
        self.recorded_calls += 1
        return recorded

    def _tell(self) -> None:
        """Say once why calls run as always."""
        if self.eager_because and self.eager_because not in self._told:
            self._told.add(self.eager_because)
            warnings.warn(f"runs without CUDA graphs: {self.eager_because}", Notice, stacklevel=3)

    def _forget_all(self) -> None:
        for known in (self._recorded, self._seen_before, self._seen, self.memory):
            known.clear()
        self.recording.renew()


def find_graphs(network: Any) -> GraphedNetwork | None:
    """The recordings of a network; None if its calls run as always."""
    return getattr(network, MARK, None)


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
        values.extend(tensor.data_ptr() for tensor in module._parameters.values() if tensor is not None)
        values.extend(tensor.data_ptr() for tensor in module._buffers.values() if tensor is not None)
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
    """What of an attribute is compared: values of plain types, a processor itself, nothing of others."""
    if type(value) in PLAIN or callable(value):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None


def _describe(leaf: Any) -> Hashable:
    """What decides the kind of a call about one of its arguments."""
    if isinstance(leaf, torch.Tensor):
        return tuple(leaf.shape), leaf.stride(), leaf.dtype, leaf.device
    return type(leaf), leaf


@torch.inference_mode(False)
@torch.no_grad()
def _copies(leaves: Sequence[Any]) -> list[Any]:
    """Tensors in memory of their own. Normal ones even in inference mode, so that later calls can write to them."""
    return [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
