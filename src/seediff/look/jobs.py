"""Changes many samples in jobs, one at a time. All windows see the progress, and a job's changes can be undone
together.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException

from ..errors import UserError, first_line, system_reason
from ..files.messages import plural
from .history import History
from .session import Edit, Prepared, Session, Stale

FAILED, UNDONE, STALE, UNCHANGED = "failed", "undone", "changed by someone else", "unchanged"
"""What jobs count: outcomes of samples."""
EditOne = Callable[[int, dict[str, Any]], Prepared | str | None]
"""A change of one sample: (its number, the fields that its action's `detail` must have) → the action; why there is
none; or None if it would change nothing."""
EVERY = 0.2
"""Seconds between writes, each of which saves many actions: it waits for the disk."""


class Jobs:
    """Runs one job at a time in a separate thread, so that other requests do not wait for it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.stop = threading.Event()
        self.busy = False
        self._lock = threading.Lock()

    def start(self, numbers: Sequence[int], outcome: str, edit_one: EditOne) -> None:
        """Change samples in a job. outcome: what the report calls a changed sample. Raises UserError if nothing can be
        saved, HTTPException while another job is running."""
        if self.session.read_only:
            raise UserError(self.session.read_only)
        with self._lock:  # two requests may come at once, each in a thread
            if self.busy:
                raise HTTPException(409, "another job is running")
            self.busy = True
        self.stop.clear()
        job = JobRun(self, numbers, outcome, edit_one)
        threading.Thread(target=job.run, daemon=True, name="look job").start()

    def undo(self, job: str) -> None:
        """Undo a job on all samples that have not been changed since."""

        def undo_one(number: int, detail: dict[str, Any]) -> Prepared | None:
            history = self.session.history(number)
            version = history.version  # read first, so that somebody who acts in between makes it stale
            if not _is_last(job, history):
                raise Stale(number)
            return self.session.prepare(number, version, Edit("undo", detail=detail))

        histories = list(self.session.histories.items())
        self.start([number for number, history in histories if _is_last(job, history)], UNDONE, undo_one)


def _is_last(job: str, history: History) -> bool:
    """Whether a sample's last action in effect is the job's."""
    return history.last is not None and history.last.detail.get("job") == job


@dataclass
class JobRun:
    """One job, which runs in a thread of its own."""

    jobs: Jobs
    numbers: Sequence[int]
    outcome: str
    edit_one: EditOne
    name: str = field(default_factory=partial(secrets.token_hex, 8))
    counts: Counter[str] = field(default_factory=Counter)
    """Outcome → number of samples."""
    waiting: list[Prepared] = field(default_factory=list)
    """Actions to save."""

    def run(self) -> None:
        """Change the samples, then report how many have which outcome."""
        failed = ""
        try:
            self.change_all()
        except OSError as error:
            failed = f"not saved: {system_reason(error)}"
        except Exception as error:  # most often, a device is out of memory
            failed = f"failed: {first_line(error)}"
        self.jobs.busy = False
        changed = self.counts.pop(self.outcome, 0)
        others = ", ".join(f"{count} {outcome}" for outcome, count in self.counts.items() if count)
        text = "; ".join(filter(None, [f"{changed} {self.outcome}", others, failed]))
        undoable = self.outcome != UNDONE and changed > 0
        self.report(text, changed + sum(self.counts.values()), ended=True, changed=changed, undoable=undoable)

    def change_all(self) -> None:
        """Change samples until all are done or the job is stopped. Even after an error, changes are saved."""
        saved = 0.0
        try:
            for done, number in enumerate(self.numbers):
                if self.jobs.stop.is_set():
                    break
                if time.monotonic() - saved > EVERY:
                    self.save()
                    self.report(f"{done} of {plural(len(self.numbers), 'sample')}", done)
                    saved = time.monotonic()
                self.change_one(number)
        finally:
            self.save()

    def change_one(self, number: int) -> None:
        try:
            made = self.edit_one(number, {"job": self.name})
        except UserError:
            made = FAILED
        except Stale:
            made = STALE
        if isinstance(made, Prepared):
            self.waiting.append(made)
        else:
            self.counts[made or UNCHANGED] += 1

    def save(self) -> None:
        count = self.jobs.session.commit(self.waiting)
        self.counts.update({self.outcome: count, STALE: len(self.waiting) - count})
        self.waiting.clear()

    def report(self, text: str, done: int, **more: Any) -> None:
        """Tell all windows."""
        about = {"kind": "job", "job": self.name, "text": text, "done": done, "total": len(self.numbers)}
        self.jobs.session.tell({**about, "ended": False, "undoable": False, **more})
