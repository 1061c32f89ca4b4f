"""Changes many samples in jobs, one at a time. All windows see the progress, and a job's changes can be undone
together.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ..errors import UserError, first_line, system_reason
from ..files.messages import plural
from .store import Edit, Prepared, SampleState, Store

FAILED, UNDONE, STALE, UNCHANGED = "failed", "undone", "changed by someone else", "unchanged"
"""What a report calls a sample that a job did not change, or whose change it undid."""
EVERY = 0.2
"""Seconds between two writes. A write takes long, because it waits for the disk, but saves any number of actions."""


@dataclass
class BulkJob:
    """A change of many samples, which runs in a thread of its own, so that other requests do not wait for it."""

    store: Store
    numbers: Sequence[int]
    """The samples."""
    outcome: str
    """What reports call a changed sample, for example "accepted"."""
    edit_one: Callable[[SampleState], Edit | str]
    """The edit of a sample, or why there is none, which reports count."""
    then: Callable[[], None] = lambda: None
    """What is done at the end. Raises UserError if it cannot be done, which reports tell."""
    name: str = field(default_factory=partial(secrets.token_hex, 8))
    stop: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    """Outcome → number of samples."""

    def start(self) -> Response:
        """Start the job. The response has its name, by which it can be undone. Raises UserError if nothing can be
        saved, and HTTPException while another job is running."""
        with self.store.lock:
            if self.store.read_only:
                raise UserError(self.store.read_only)
            if self.store.stop:
                raise HTTPException(409, "another job is running")
            self.store.stop = self.stop
        threading.Thread(target=self._run, daemon=True, name="look job").start()
        return JSONResponse({"job": self.name, "samples": len(self.numbers)}, 202)

    def _run(self) -> None:
        """Do the whole job, and report to all windows how many samples have which outcome."""
        failed = ""
        try:
            self._change()
            self.then()
        except UserError as error:
            failed = str(error)
        except OSError as error:
            failed = f"not saved: {system_reason(error)}"
        except Exception as error:  # most often, a device is out of memory
            failed = f"failed: {first_line(error)}"
        self.store.stop = None
        done, changed = sum(self.counts.values()), self.counts.pop(self.outcome, 0)
        others = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        text = "; ".join(filter(None, [f"{changed} {self.outcome}", others, failed]))
        self._tell(text, done, ended=True, changed=changed, undoable=changed > 0 and self.outcome != UNDONE)

    def _tell(self, text: str, done: int, **more: Any) -> None:
        of_job = {"kind": "job", "job": self.name, "total": len(self.numbers), "ended": False, "undoable": False}
        self.store.tell({**of_job, "text": text, "done": done, **more})

    def _change(self) -> None:
        """Change samples until all are done or the job is stopped. Even after an error, changes are saved."""
        prepared: list[Prepared] = []
        last_save = 0.0

        def save() -> None:
            saved = self.store.commit(prepared)
            self.counts.update({self.outcome: saved, STALE: len(prepared) - saved})
            prepared.clear()

        try:
            for done, number in enumerate(self.numbers):
                if self.stop.is_set():
                    break
                if time.monotonic() - last_save > EVERY:
                    save()
                    self._tell(f"{done} of {plural(len(self.numbers), 'sample')}", done)
                    last_save = time.monotonic()
                made = self._prepare(number)
                if isinstance(made, Prepared):
                    prepared.append(made)
                else:
                    self.counts[made] += 1
        finally:
            save()

    def _prepare(self, number: int) -> Prepared | str:
        """A sample's action, to save, or why there is none. It is stale if somebody else acts before it is saved."""
        state = self.store.state(number)
        try:
            edit = self.edit_one(state)
            if isinstance(edit, str):
                return edit
            of_job = replace(edit, detail={**edit.detail, "job": self.name})
            return self.store.prepare(state, of_job) or UNCHANGED
        except UserError:
            return FAILED


def undo_job(store: Store, name: str) -> Response:
    """Start a job that undoes another job, which is to undo its actions. Samples that somebody has changed since then
    stay as they are. name: the name of the job to undo."""

    def undo_one(state: SampleState) -> Edit | str:
        return Edit("undo") if is_last(state) else STALE

    def is_last(state: SampleState) -> bool:
        return state.last.detail.get("job") == name

    numbers = [number for number, state in list(store.states.items()) if is_last(state)]
    return BulkJob(store, numbers, UNDONE, undo_one).start()
