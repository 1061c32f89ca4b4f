"""One thread for what takes a while or much memory: attention, segments, many samples. It ends with the process, wherever it is."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Worker:
    """Does one thing after another, in the order asked for."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any, BaseException | None], None]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="look worker").start()

    def _work(self) -> None:
        while True:
            function, done = self._waiting.get()
            try:
                result, error = function(), None
            except BaseException as caught:
                result, error = None, caught
            done(result, error)

    def start(self, function: Callable[[], Any]) -> None:
        """Do it some time; what it returns or raises is nobody's concern."""
        self._waiting.put((function, lambda result, error: None))

    async def do(self, function: Callable[[], Result]) -> Result:
        """Do it and wait. When nobody waits any more, what has not begun is left out."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def guarded() -> Any:
            return None if future.cancelled() else function()

        def done(result: Any, error: BaseException | None) -> None:
            def settle() -> None:
                if not future.cancelled():
                    future.set_exception(error) if error else future.set_result(result)

            loop.call_soon_threadsafe(settle)

        self._waiting.put((guarded, done))
        return await future
