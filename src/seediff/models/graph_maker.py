"""Makes CUDA graphs of one network's calls, and says how much memory and time they take."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import UserError
from ..workers import GPU_ALONE

MARGIN = 1.2
"""Free memory that a graph needs, as a multiple of what a call takes."""


class GraphMaker:
    """Makes the graphs of one network. The network has its own stream and memory; its graphs share them,
    because they never run at the same time, and results are copied."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
        with torch.cuda.device(self.device):
            self._stream = torch.cuda.Stream(self.device)
            self.renew()

    def renew(self) -> None:
        """Begin with new memory, after all graphs were thrown away."""
        self._pool = torch.cuda.graph_pool_handle()

    def is_short_of_memory(self) -> bool:
        """Whether less memory is free than a graph may take, in addition to all other values: as much as any call took
        until now."""
        free, _ = torch.cuda.mem_get_info(self.device)
        held = torch.cuda.memory_allocated(self.device)
        unused = torch.cuda.memory_reserved(self.device) - held
        return free + unused < MARGIN * (torch.cuda.max_memory_allocated(self.device) - held)

    @contextmanager
    def _on_stream(self) -> Iterator[None]:
        """In this block, use the stream of the graphs, in order with what the thread does before and after; also
        after an error, when `torch.cuda.graph` does not give a thread its stream back."""
        with torch.cuda.device(self.device):
            before = torch.cuda.current_stream(self.device)
            self._stream.wait_stream(before)
            with torch.cuda.stream(self._stream):
                try:
                    yield
                finally:
                    before.wait_stream(self._stream)

    def run(self, call: Callable[[], Any]) -> Any:
        """Call eagerly, on the stream where graphs are made."""
        with self._on_stream():
            return call()

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        """The result of a call, and its seconds. The host waits before and after: otherwise it runs ahead during a
        replay, and the next call seems fast."""
        stream = torch.cuda.current_stream(self.device)
        stream.synchronize()
        begun = time.perf_counter()
        found = call()
        stream.synchronize()
        return found, time.perf_counter() - begun

    def make(self, call: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """(result, replay). The result has values only after a replay. Raises RuntimeError with the first reason, where
        CUDA would say only that making a graph failed."""
        graph = torch.cuda.CUDAGraph()
        first: BaseException | None = None
        found: Any = None
        problem: Exception | None = None
        with GPU_ALONE, self._on_stream():
            # thread_local: other threads may allocate memory meanwhile
            making = torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")
            try:
                with making:
                    try:
                        found = call()
                    except BaseException as error:
                        first = error
                        raise
            except Exception as error:
                with suppress(Exception):  # torch before 2.12 goes on as if it made a graph
                    torch._C._cuda_endAllocateToPool(self.device.index, self._pool)
                self._free_generator()
                reason = first or error
                is_ours = isinstance(reason, UserError)
                problem = reason if is_ours else RuntimeError(f"{type(reason).__name__}: {reason}")
        if problem is not None:  # raised here, without tracebacks: they hold all tensors of the call
            first = reason = None
            raise problem.with_traceback(None)
        return found, graph.replay

    def free_memory(self) -> None:
        """Give back what a graph that failed took, so that there is room for the eager call."""
        gc.collect()
        torch.cuda.empty_cache()

    def _free_generator(self) -> None:
        """Make a graph that succeeds: after a failed one, torch before 2.12 refuses random numbers until then."""
        with suppress(Exception):
            number = torch.zeros(1, device=self.device)
            with torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
                number.add_(1)


class Reading(TorchDispatchMode):
    """Notes the tensors that operations read. A graph reads them at the same addresses again, so tensors that only
    a cache keeps alive, and not the network, must stay as long as the graph does."""

    def __init__(self) -> None:
        super().__init__()
        self._tensors: dict[int, weakref.ref[torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self._tensors[id(leaf)] = weakref.ref(leaf)
        return func(*args, **(kwargs or {}))

    def alive(self) -> list[torch.Tensor]:
        """The noted tensors that still exist."""
        return [tensor for tensor in (reference() for reference in self._tensors.values()) if tensor is not None]
