"""Makes CUDA graphs of a network's calls, checks the free memory, and measures times."""

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
"""A graph is made if this multiple of a call's memory is free."""


class GraphMaker:
    """Makes the graphs of one network, on a stream and in memory of their own. All graphs share this memory: they
    never run at the same time, and results are copied."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
        with torch.cuda.device(self.device):
            self._stream = torch.cuda.Stream(self.device)
            self.renew()

    def renew(self) -> None:
        """Begin with new memory, after all graphs were deleted."""
        self._pool = torch.cuda.graph_pool_handle()

    def is_short_of_memory(self) -> bool:
        """Whether less memory is free than a graph may take. It may take as much as the largest call until now."""
        free, _ = torch.cuda.mem_get_info(self.device)
        held = torch.cuda.memory_allocated(self.device)
        unused = torch.cuda.memory_reserved(self.device) - held
        return free + unused < MARGIN * (torch.cuda.max_memory_allocated(self.device) - held)

    @contextmanager
    def _on_stream(self) -> Iterator[None]:
        """In this block, use the stream of the graphs, and keep the order with the thread's work before and after.
        The thread gets its own stream back also after an error, which `torch.cuda.graph` does not do."""
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
        """(result, seconds) of a call. The host waits for the GPU before and after: otherwise it would run ahead
        during a replay, and the next call would seem fast."""
        stream = torch.cuda.current_stream(self.device)
        stream.synchronize()
        begun = time.perf_counter()
        found = call()
        stream.synchronize()
        return found, time.perf_counter() - begun

    def make(self, call: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """(result, replay). The result has values only after a replay. Raises RuntimeError with the first cause of a
        failure: CUDA itself would say only that making the graph failed."""
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
        """Give back the memory that a failed graph took, so that the eager call has room."""
        gc.collect()
        torch.cuda.empty_cache()

    def _free_generator(self) -> None:
        """Make a small graph that succeeds. After a failed graph, torch before 2.12 refuses random numbers until
        another one succeeds."""
        with suppress(Exception):
            number = torch.zeros(1, device=self.device)
            with torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
                number.add_(1)


class Reading(TorchDispatchMode):
    """Notes the tensors that operations read. A graph reads them at the same addresses again. So they must live as
    long as the graph, also if only a cache keeps them alive, and not the network."""

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
