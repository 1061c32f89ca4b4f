"""Changes of many samples, one after the other: all windows see the progress, and all of one can be undone at once."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException

from ..errors import UserError
from .events import Worker
from .session import Session, Stale

DAMAGED, UNDONE = "that cannot be changed", "undone"


class Jobs:
    """Does one such change at a time."""

    def __init__(self, session: Session, worker: Worker) -> None:
        self.session, self.worker = session, worker
        self.stop = threading.Event()
        self.busy = False

    def start(self, numbers: Sequence[int], what: str, change: Callable[[int, dict[str, Any]], str]) -> None:
        """Change samples. what: the outcome that counts as done, in words. change: called with a number and what the detail of its action
        must say; returns the outcome. Raises UserError where nothing can be saved, HTTPException while another change is going on."""
        if self.session.read_only:
            raise UserError(self.session.read_only)
        if self.busy:
            raise HTTPException(409, "many samples are being changed already")
        self.busy = True
        self.stop.clear()
        self.worker.start(partial(self._work, numbers, what, change))

    def _work(self, numbers: Sequence[int], what: str, change: Callable[[int, dict[str, Any]], str]) -> None:
        counts, job, done = Counter[str](), secrets.token_hex(8), 0

        def tell(text: str, *, ended: bool = False) -> None:
            about = {"done": done, "total": len(numbers), "ended": ended, "changed": counts[what], "undoable": what != UNDONE}
            self.session.tell({"kind": "job", "job": job, "text": text, **about})

        try:
            for number in numbers:
                if self.stop.is_set():
                    break
                tell(f"{done} of {len(numbers)} samples")
                try:
                    counts[change(number, {"job": job})] += 1
                except UserError:
                    counts[DAMAGED] += 1
                except Stale:
                    counts["changed by somebody meanwhile"] += 1
                done += 1
        except OSError as error:
            counts[f"left when saving failed ({error.strerror})"] = len(numbers) - done
        finally:
            self.busy = False
            rest = ", ".join(f"{count} {other}" for other, count in counts.items() if count and other != what)
            tell(f"{counts[what]} {what}" + (f"; {rest}" if rest else ""), ended=True)

    def undo(self, job: str, by: str) -> None:
        """Undo a job on all samples to which nothing was done since."""
        history = self.session.history
        numbers = [n for n, held in list(self.session.histories.items()) if held.now and held.now.detail.get("job") == job]

        def back(number: int, detail: dict[str, Any]) -> str:
            self.session.act(number, history(number).version, "undo", by=by, detail=detail)
            return UNDONE

        self.start(numbers, UNDONE, back)
