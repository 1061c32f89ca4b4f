"""Changes many samples in jobs, one at a time. All windows see the progress, and a job's changes can be undone
together.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ..errors import UserError, first_line, system_reason
from ..files.messages import plural
from .history import History
from .store import Edit, Prepared, Session, Stale

FAILED, UNDONE, STALE, UNCHANGED = "failed", "undone", "changed by someone else", "unchanged"
"""What a report calls a sample that a job did not change, or whose change it undid."""
EVERY = 0.2
"""Seconds between two writes. A write takes long, because it waits for the disk, but saves any number of actions."""
EditOne = Callable[[int, dict[str, Any]], Prepared | str | None]
"""Changes one sample. It takes the sample's number and fields for the action's `detail`. It returns the action to save,
or why there is none, which the report counts; None means UNCHANGED."""


class Jobs:
    """Runs one job at a time in a separate thread, so that other requests do not wait for it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.stop = threading.Event()
        """Set to end the running job after its current sample."""
        self._running = threading.Lock()
        """Locked from a job's start to its end."""

    def start(self, numbers: Sequence[int], outcome: str, edit_one: EditOne) -> Response:
        """Start a job that changes samples. The response has the job's name, by which it can be undone. numbers: the
        samples. outcome: what the report calls a changed sample, for example "accepted". edit_one: changes a sample.
        Raises UserError if nothing can be saved, and HTTPException while another job is running."""
        if self.session.read_only:
            raise UserError(self.session.read_only)
        if not self._running.acquire(blocking=False):
            raise HTTPException(409, "another job is running")
        self.stop.clear()
        job = secrets.token_hex(8)
        arguments = job, numbers, outcome, edit_one
        threading.Thread(target=self._run, args=arguments, daemon=True, name="look job").start()
        return JSONResponse({"job": job, "samples": len(numbers)}, 202)

    def undo(self, job: str) -> Response:
        """Start a job that undoes another job. Samples that somebody has changed since then stay as they are. job: the
        name of the job to undo."""

        def undo_one(number: int, detail: dict[str, Any]) -> Prepared | None:
            history = self.session.history(number)
            version = history.version  # read first: if somebody acts in between, the action is stale
            if not _is_last(job, history):
                raise Stale(number)
            return self.session.prepare(number, version, Edit("undo", detail=detail))

        histories = list(self.session.histories.items())
        return self.start([number for number, history in histories if _is_last(job, history)], UNDONE, undo_one)

    def _run(self, job: str, numbers: Sequence[int], outcome: str, edit_one: EditOne) -> None:
        """Do a whole job, and report to all windows how many samples have which outcome."""
        report = {"kind": "job", "job": job, "total": len(numbers), "ended": False, "undoable": False}
        counts, failed = Counter[str](), ""
        try:
            self._change(numbers, outcome, edit_one, report, counts)
        except OSError as error:
            failed = f"not saved: {system_reason(error)}"
        except Exception as error:  # most often, a device is out of memory
            failed = f"failed: {first_line(error)}"
        self._running.release()
        done, changed = sum(counts.values()), counts.pop(outcome, 0)
        others = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        text = "; ".join(filter(None, [f"{changed} {outcome}", others, failed]))
        undoable = outcome != UNDONE and changed > 0
        ending = {"text": text, "done": done, "ended": True, "changed": changed, "undoable": undoable}
        self.session.tell({**report, **ending})

    def _change(
        self, numbers: Sequence[int], outcome: str, edit_one: EditOne, report: dict[str, Any], counts: Counter[str]
    ) -> None:
        """Change samples until all are done or the job is stopped. Even after an error, changes are saved.

        numbers, outcome, edit_one: as for `start`. report: what every report of this job says. counts: outcome → number
        of samples, to which this method adds.
        """
        prepared: list[Prepared] = []
        last_save = 0.0

        def save() -> None:
            saved = self.session.commit(prepared)
            counts.update({outcome: saved, STALE: len(prepared) - saved})
            prepared.clear()

        try:
            for done, number in enumerate(numbers):
                if self.stop.is_set():
                    break
                if time.monotonic() - last_save > EVERY:
                    save()
                    text = f"{done} of {plural(len(numbers), 'sample')}"
                    self.session.tell({**report, "text": text, "done": done})
                    last_save = time.monotonic()
                try:
                    made = edit_one(number, {"job": report["job"]})
                except UserError:
                    made = FAILED
                except Stale:
                    made = STALE
                if isinstance(made, Prepared):
                    prepared.append(made)
                else:
                    counts[made or UNCHANGED] += 1
        finally:
            save()


def _is_last(job: str, history: History) -> bool:
    """Whether a job made a sample's last action in effect. job: the name of the job."""
    return history.last is not None and history.last.detail.get("job") == job
