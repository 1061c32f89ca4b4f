"""Records calls of one network as CUDA graphs, and says how much memory and time they take."""

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
"""Free memory that a recording needs, as a multiple of what a call takes."""


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

    def is_short_of_memory(self) -> bool:
        """Whether less memory is free than a call may take, whose values a recording keeps apart from all others. What
        any call took until now is the most that one may take."""
        free, _ = torch.cuda.mem_get_info(self.device)
        held = torch.cuda.memory_allocated(self.device)
        unused = torch.cuda.memory_reserved(self.device) - held
        return free + unused < MARGIN * (torch.cuda.max_memory_allocated(self.device) - held)

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

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        """The result of a call, and its seconds. The host waits before and after: otherwise it runs ahead during a
        replay, and the next call seems fast."""
        stream = torch.cuda.current_stream(self.device)
        stream.synchronize()
        begun = time.perf_counter()
        found = call()
        stream.synchronize()
        return found, time.perf_counter() - begun

    def record(self, call: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """The result, whose values are only there after a replay; and the replay. Raises RuntimeError with the first
        reason, where CUDA would say only that a recording failed."""
        graph = torch.cuda.CUDAGraph()
        first: BaseException | None = None
        found: Any = None
        problem: Exception | None = None
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
                self._free_generator()
                reason = first or error
                is_ours = isinstance(reason, UserError)
                problem = reason if is_ours else RuntimeError(f"{type(reason).__name__}: {reason}")
        if problem is not None:  # raised here, without tracebacks: they hold all tensors of the call
            first = reason = None
            raise problem.with_traceback(None)
        return found, graph.replay

    def free_memory(self) -> None:
        """Give back what a failed recording took, so that the call fits as always."""
        gc.collect()
        torch.cuda.empty_cache()

    def _free_generator(self) -> None:
        """After a recording that failed, torch before 2.12 refuses random numbers until another recording ends."""
        with suppress(Exception):
            number = torch.zeros(1, device=self.device)
            with torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
                number.add_(1)


class Reading(TorchDispatchMode):
    """Notes the tensors that operations are given. A recording reads them at the same place again, so those that only
    a cache keeps alive, and not the network, must stay as long as it does."""

    def __init__(self) -> None:
        super().__init__()
        self._given: dict[int, weakref.ref[torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self._given[id(leaf)] = weakref.ref(leaf)
        return func(*args, **(kwargs or {}))

    def alive(self) -> list[torch.Tensor]:
        """Those that are still there after the call."""
        return [tensor for tensor in (reference() for reference in self._given.values()) if tensor is not None]
