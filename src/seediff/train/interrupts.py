"""Ctrl-C while a network is trained: the step at work is finished and kept first, for weights in the middle of a step are nobody's."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SAME = 1.0
"""Seconds within which another interrupt is still the first one: launchers pass on the Ctrl-C that a terminal sends to every process."""


class Interrupts:
    """Holds interrupts back until `deliver`; one that comes later than SAME after the first is passed on at once."""

    def __init__(self) -> None:
        self.before: Callable[[int, Any], Any] | None = None
        self.first: float | None = None

    @property
    def asked(self) -> bool:
        """Whether an interrupt is held back."""
        return self.first is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold interrupts back during the block, where Python handles them in this thread. One that nobody delivered comes at its end."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return
        self.before = before
        signal.signal(signal.SIGINT, self._hold)
        try:
            yield
        except RuntimeError as error:
            if not self.asked:
                raise
            raise KeyboardInterrupt from error  # of several processes others have ended: Ctrl-C met them before their first step
        finally:
            signal.signal(signal.SIGINT, before)
        if self.asked:
            self.deliver()

    def deliver(self) -> None:
        """Be interrupted now. Returns only where a program's own handler does not end what it interrupts."""
        self.first = None
        if self.before is None:  # another process was interrupted
            raise KeyboardInterrupt
        self.before(signal.SIGINT, None)

    def _hold(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = now
        elif now - self.first > SAME and self.before is not None:
            self.before(number, frame)
