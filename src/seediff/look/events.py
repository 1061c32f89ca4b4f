"""What all requests share: a way to do slow work, reports to every open window, and caches."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
Value = TypeVar("Value")
PING = 15.0
"""Seconds without a report after which the server sends a comment. Only by sending does it notice a lost connection."""
IN_TURN = threading.Lock()
"""Locked while a function of `slowly` runs."""


async def slowly(function: Callable[[], Result]) -> Result:
    """The result of a function that runs in a thread of its own, after the functions of earlier calls. The thread ends
    with the process, even in the middle of the function."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            with IN_TURN:
                future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="look slowly").start()
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
        self._limit, self._size = limit, size
        self._values: dict[Hashable, Value] = {}
        """The most recently used one is the last."""
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values[key] = self._values.pop(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value
            total = sum(map(self._size, self._values.values()))
            for oldest in list(self._values)[:-1]:
                if total > self._limit:
                    total -= self._size(self._values.pop(oldest))
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key. If the cache lacks the key, `make` makes the value."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value
