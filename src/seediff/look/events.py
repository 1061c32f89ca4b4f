"""What is told to every open window as it happens (server-sent events)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

PING = 15.0
"""Seconds after which a comment is sent, by which a connection that is gone is noticed."""
BEHIND = 1000
"""Reports that wait for a window; one that does not take them is told to begin anew."""


class Events:
    """Windows that listen. `tell` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._windows: set[asyncio.Queue[str | None]] = set()

    def tell(self, report: dict[str, Any]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            line = json.dumps(report, ensure_ascii=False)
            self._loop.call_soon_threadsafe(self._put, line)

    def _put(self, line: str) -> None:
        for window in self._windows:
            if window.qsize() >= BEHIND:
                while not window.empty():
                    window.get_nowait()
                line = '{"kind": "behind"}'
            window.put_nowait(line)

    async def listen(self) -> AsyncIterator[bytes]:
        """The reports from now on, in the form that browsers take."""
        self._loop = asyncio.get_running_loop()
        window: asyncio.Queue[str | None] = asyncio.Queue()
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
            with suppress(KeyError):
                self._windows.remove(window)
