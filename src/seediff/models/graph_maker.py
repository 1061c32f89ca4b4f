"""Makes CUDA graphs of a network's calls: `GraphMaker`. It also checks the free memory, and times calls."""

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
"""A graph is made only if this multiple of a call's memory is free."""


class GraphMaker:
    """Makes the graphs of one network, on a stream and in memory of their own. All graphs share this memory: they
    never run at the same time, and results are copied."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
        with torch.cuda.device(self.device):
            self._stream = torch.cuda.Stream(self.device)
            self.renew()

    def renew(self) -> None:
        """Give future graphs new memory. Call it after all graphs were deleted."""
        self._pool = torch.cuda.graph_pool_handle()

    def is_short_of_memory(self) -> bool:
        """Whether too little memory is free for a graph, which may take as much as the largest call so far."""
        free, _ = torch.cuda.mem_get_info(self.device)
        held = torch.cuda.memory_allocated(self.device)
        unused = torch.cuda.memory_reserved(self.device) - held
        return free + unused < MARGIN * (torch.cuda.max_memory_allocated(self.device) - held)

    @contextmanager
    def _on_stream(self) -> Iterator[None]:
        """In this block, the thread works on the stream of the graphs, after its earlier work and before its later
        work. It gets its own stream back even after an error, unlike with `torch.cuda.graph` alone."""
        with torch.cuda.device(self.device):
            before = torch.cuda.current_stream(self.device)
            self._stream.wait_stream(before)
            with torch.cuda.stream(self._stream):
                try:
                    yield
                finally:
                    before.wait_stream(self._stream)

    def run(self, call: Callable[[], Any]) -> Any:
        """The result of an eager call on the stream where graphs are made."""
        with self._on_stream():
            return call()

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        """(result, seconds) of a call. The host waits for the GPU before and after the call. Otherwise a replay
        would seem to take no time, and the next call would take the time of both."""
        stream = torch.cuda.current_stream(self.device)
        stream.synchronize()
        begun = time.perf_counter()
        result = call()
        stream.synchronize()
        return result, time.perf_counter() - begun

    def make(self, call: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """(result, replay). result: what the call returned; its tensors have no values before a replay. replay: runs
        the call's kernels. Raises the call's UserError, or RuntimeError with the first cause of a failure: CUDA itself
        would say only that making the graph failed."""
        graph = torch.cuda.CUDAGraph()
        first: BaseException | None = None  # the call's own error, which CUDA's error about the graph would hide
        result: Any = None
        problem: Exception | None = None
        with GPU_ALONE, self._on_stream():
            # thread_local: other threads may allocate memory meanwhile
            making = torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")
            try:
                with making:
                    try:
                        result = call()
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
        return result, graph.replay

    def free_memory(self) -> None:
        """Free the memory that a failed graph took, so that the eager call has room."""
        gc.collect()
        torch.cuda.empty_cache()

    def _free_generator(self) -> None:
        """Make a small graph that succeeds. After a failed graph, torch before 2.12 refuses random numbers until
        another graph succeeds."""
        with suppress(Exception):
            number = torch.zeros(1, device=self.device)
            with torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
                number.add_(1)


class Reading(TorchDispatchMode):
    """Inside its `with` block, notes the tensors that operations read. A graph reads the same addresses at each replay,
    so these tensors must live as long as the graph. The network may hold some of them only in a cache."""

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
