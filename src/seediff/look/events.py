"""What all requests share: a thread for slow work, reports to every open window, and caches."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Value = TypeVar("Value")
PING = 15.0
"""Seconds without a report after which the server sends a comment. Only by sending does it notice a lost connection."""


class Worker:
    """Runs functions one after another in a thread of its own. The thread ends with the process, even in the middle of
    a function."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="look worker").start()

    def _work(self) -> None:
        while True:
            future, function = self._waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)

    async def do(self, function: Callable[[], Result]) -> Result:
        """Run a function in the thread, and wait for its result."""
        future: Future[Result] = Future()
        self._waiting.put((future, function))
        return await asyncio.wrap_future(future)


class Events:
    """Sends reports to all listening windows (server-sent events). `tell` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._windows: set[asyncio.Queue[str]] = set()

    def tell(self, report: dict[str, Any]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            line = json.dumps(report, ensure_ascii=False)
            self._loop.call_soon_threadsafe(self._put, line)

    def _put(self, line: str) -> None:
        for window in self._windows:
            window.put_nowait(line)

    async def listen(self) -> AsyncIterator[bytes]:
        """Yields the reports of `tell` from now on, as lines of server-sent events, to one window."""
        self._loop = asyncio.get_running_loop()
        window: asyncio.Queue[str] = asyncio.Queue()
        self._windows.add(window)
        try:
            yield b": listening\n\n"
            while True:
                try:
                    line = await asyncio.wait_for(window.get(), PING)
                except (TimeoutError, asyncio.TimeoutError):
                    yield b": still here\n\n"
                else:
                    yield f"data: {line}\n\n".encode()
        finally:
            self._windows.discard(window)


class Cache(Generic[Value]):
    """Keeps the most recently used values. Several threads may use it. limit: the maximum sum of their sizes, except
    that a single value may be larger. size: the size of a value; by default, 1."""

    def __init__(self, limit: int, size: Callable[[Value], int] = lambda value: 1) -> None:
        self.limit, self.size, self.total = limit, size, 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        return None

    def put(self, key: Hashable, value: Value) -> Value:
        with self._lock:
            if key in self._values:
                self.total -= self.size(self._values.pop(key))
            self._values[key] = value
            self.total += self.size(value)
            while self.total > self.limit and len(self._values) > 1:
                self.total -= self.size(self._values.popitem(last=False)[1])
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key. If the cache lacks the key, `make` makes the value."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value
