"""Records and replays calls with CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from ..errors import UserError
from ..workers import GPU_ALONE


class CudaRecording:
    """Recordings of one network. They share their memory, because they never run at the same time, and results are
    copied. The stream, the memory and the device are the network's own."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device()) if device.index is None else device
        with torch.cuda.device(self.device):
            self._stream = torch.cuda.Stream(self.device)
            self.renew()

    def renew(self) -> None:
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
        with self._on_stream():
            return call()

    def record(self, call: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """Raises RuntimeError with the first reason, where CUDA would say only that a recording failed."""
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
