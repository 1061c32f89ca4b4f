"""Work that is done in another thread, in order, while the next is prepared: a bounded queue of one worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Beside(Generic[Result]):
    """At most `ahead` pieces of work wait or are under way when the next is given; results come back in the order of the work.

    ahead: 0 is no thread at all. device: on CUDA the work has a stream of its own, or it would wait for what is drawn meanwhile. However
    the block ends, the thread has ended: what was under way is finished, what waited is not begun.
    """

    def __init__(self, ahead: int, device: str = "cpu") -> None:
        self.ahead, self.device = ahead, device
        self.waiting: deque[Future[Result]] = deque()
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="beside") if ahead else None
        self.stream: Any = None

    def __enter__(self) -> Beside[Result]:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def check(self) -> None:
        """Raise what work raised that is done by now, before more is prepared for it."""
        for one in self.waiting:
            if one.done():
                one.result()

    def give(self, work: Callable[[], Result]) -> Iterator[Result]:
        """Have work done. Gives results that are due: none while there is room in the queue."""
        if self.pool is None:
            yield work()
            return
        self.waiting.append(self.pool.submit(self._do, work, self._prepared()))
        while len(self.waiting) > self.ahead:
            yield self.waiting.popleft().result()

    def rest(self) -> Iterator[Result]:
        """The results of all that was given."""
        while self.waiting:
            yield self.waiting.popleft().result()

    def _prepared(self) -> Any:
        """The moment on the device at which what was given is there; None where nothing runs beside the host."""
        if not self.device.startswith("cuda"):
            return None
        import torch

        if not torch.cuda.is_available():  # a drawing of somebody's own, for another machine's device
            return None
        return torch.cuda.current_stream(self.device).record_event()

    def _do(self, work: Callable[[], Result], prepared: Any) -> Result:
        with self._own_stream(prepared):
            return work()

    def _own_stream(self, prepared: Any) -> Any:
        if prepared is None:
            return nullcontext()
        import torch

        self.stream = self.stream or torch.cuda.Stream(self.device)
        self.stream.wait_event(prepared)
        return torch.cuda.stream(self.stream)
