"""Runs long jobs, one at a time. All windows see the progress, and a job's changes to many samples can be undone together."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException

from ..errors import UserError, first_line, system_reason
from .events import Worker
from .session import Session, Stale

DAMAGED, UNDONE = "that cannot be changed", "undone"
SOON = 10.0
"""Remaining seconds below which no remaining time is shown."""


class Job:
    """A running job, as its work sees it. id: recorded with all its changes. stop: set when the job should end."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], stop: threading.Event) -> None:
        self._tell, self.stop = tell, stop
        self.id = secrets.token_hex(8)
        self._begun: tuple[float, int] | None = None

    def at(self, done: int, total: int, text: str) -> None:
        """Report progress. The remaining time is estimated from the speed since the report with `done` = 0, or else the first report."""
        now = time.monotonic()
        begun, before = self._begun = self._begun if self._begun and done else (now, done)
        left = (now - begun) / (done - before) * (total - done) if done > before else 0.0
        rest = "" if left < SOON else f", about {round(left)} s left" if left < 100 else f", about {round(left / 60)} min left"
        self.say(text + rest, done=done, total=total)

    def say(self, text: str, *, done: int = 0, total: int = 0, changed: int = 0, undoable: bool = False, ended: bool = False) -> None:
        about = {"done": done, "total": total, "ended": ended, "changed": changed, "undoable": undoable}
        self._tell({"kind": "job", "job": self.id, "text": text, **about})


Work = Callable[[Job], Mapping[str, Any]]
"""The work of a job, called in the jobs' thread. Returns the arguments of the last call of `Job.say`."""


class Jobs:
    """Runs one job at a time in a separate thread, so that other requests do not wait for it."""

    def __init__(self, session: Session) -> None:
        self.session, self.worker = session, Worker()
        self.stop = threading.Event()
        self.busy = False

    def begin(self, work: Work) -> None:
        """Start a job. Raises UserError if nothing can be saved, HTTPException while another job is running."""
        if self.session.read_only:
            raise UserError(self.session.read_only)
        if self.busy:
            raise HTTPException(409, "another job is going on")
        self.busy = True
        self.stop.clear()
        self.worker.start(partial(self._work, work))

    def _work(self, work: Work) -> None:
        job, ended = Job(self.session.tell, self.stop), {}
        try:
            ended = work(job)
        except OSError as error:
            ended = {"text": f"it could not be saved: {system_reason(error)}"}
        except UserError as error:
            ended = {"text": str(error)}
        except Exception as error:  # most often, a device is out of memory
            ended = {"text": f"it failed: {first_line(error)}"}
        finally:
            self.busy = False
            job.say(**{"text": "", **ended}, ended=True)

    def start(self, numbers: Sequence[int], what: str, change: Callable[[int, dict[str, Any]], str]) -> None:
        """Change samples in a job. what: the outcome that counts as success, in words. change: called with a sample's number and the fields
        that its action's `detail` must have; returns the outcome. Raises the same errors as `begin`."""
        self.begin(partial(self.change, numbers, what, change))

    def change(self, numbers: Sequence[int], what: str, change: Callable[[int, dict[str, Any]], str], job: Job) -> dict[str, Any]:
        """The work of `start`."""
        counts, done = Counter[str](), 0
        try:
            for number in numbers:
                if self.stop.is_set():
                    break
                job.at(done, len(numbers), f"{done} of {len(numbers)} samples")
                try:
                    counts[change(number, {"job": job.id})] += 1
                except UserError:
                    counts[DAMAGED] += 1
                except Stale:
                    counts["changed by somebody meanwhile"] += 1
                done += 1
        except OSError as error:
            counts[f"left when saving failed ({error.strerror})"] = len(numbers) - done
        rest = ", ".join(f"{count} {other}" for other, count in counts.items() if count and other != what)
        text = f"{counts[what]} {what}" + (f"; {rest}" if rest else "")
        return {"text": text, "changed": counts[what], "undoable": what != UNDONE}

    def undo(self, job: str, by: str) -> None:
        """Undo a job on all samples that have not been changed since."""

        def version(number: int) -> int | None:
            history = self.session.history(number)
            at = history.version  # read first, so that somebody who acts in between makes it stale
            return at if history.now and history.now.detail.get("job") == job else None

        def back(number: int, detail: dict[str, Any]) -> str:
            if (at := version(number)) is None:
                raise Stale
            self.session.act(number, at, "undo", by=by, detail=detail)
            return UNDONE

        self.start([number for number in list(self.session.histories) if version(number) is not None], UNDONE, back)
