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

from ..dataset.reviews import Action
from ..errors import UserError, first_line, system_reason
from ..files.messages import plural
from .session import Session, Stale

DAMAGED, UNDONE = "failed", "undone"
STALE, UNCHANGED = "changed by someone else", "unchanged"
Change = Callable[[int, dict[str, Any]], Action | str | None]
"""Changes one sample: its number, and the fields that its action's `detail` must have → the action, or why there is
none."""
EVERY = 0.2
"""Seconds after which actions are saved together: each write waits for the disk."""


class Jobs:
    """Runs one job at a time in a separate thread, so that other requests do not wait for it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.stop = threading.Event()
        self.busy = False

    def start(self, numbers: Sequence[int], what: str, change: Change) -> None:
        """Change samples in a job. what: the outcome that counts as success. Raises UserError if nothing can be saved,
        HTTPException while another job is running."""
        if self.session.read_only:
            raise UserError(self.session.read_only)
        if self.busy:
            raise HTTPException(409, "another job is running")
        self.busy = True
        self.stop.clear()
        threading.Thread(target=self._work, args=(numbers, what, change), daemon=True, name="look job").start()

    def _work(self, numbers: Sequence[int], what: str, change: Change) -> None:
        job, counts, failed, saved = secrets.token_hex(8), Counter[str](), "", 0.0
        actions: list[Action] = []

        def tell(text: str, done: int, **more: Any) -> None:
            about = {"kind": "job", "job": job, "text": text, "done": done, "total": len(numbers)}
            self.session.tell({**about, "ended": False, "undoable": False, **more})

        def save() -> None:
            count = self.session.commit(actions)
            counts.update({what: count, STALE: len(actions) - count})
            actions.clear()

        try:
            try:
                for done, number in enumerate(numbers):
                    if self.stop.is_set():
                        break
                    if time.monotonic() - saved > EVERY:
                        save()
                        tell(f"{done} of {plural(len(numbers), 'sample')}", done)
                        saved = time.monotonic()
                    try:
                        made = change(number, {"job": job})
                        if isinstance(made, Action):
                            actions.append(made)
                        else:
                            counts[made or UNCHANGED] += 1
                    except UserError:
                        counts[DAMAGED] += 1
                    except Stale:
                        counts[STALE] += 1
            finally:
                save()
        except OSError as error:
            failed = f"not saved: {system_reason(error)}"
        except Exception as error:  # most often, a device is out of memory
            failed = f"failed: {first_line(error)}"
        self.busy = False
        others = ", ".join(f"{count} {other}" for other, count in counts.items() if count and other != what)
        text = "; ".join(filter(None, [f"{counts[what]} {what}", others, failed]))
        undoable = what != UNDONE and counts[what] > 0
        tell(text, sum(counts.values()), ended=True, changed=counts[what], undoable=undoable)

    def undo(self, job: str) -> None:
        """Undo a job on all samples that have not been changed since."""

        def version(number: int) -> int | None:
            history = self.session.history(number)
            at = history.version  # read first, so that somebody who acts in between makes it stale
            return at if history.now and history.now.detail.get("job") == job else None

        def back(number: int, detail: dict[str, Any]) -> Action | None:
            if (at := version(number)) is None:
                raise Stale(number)
            return self.session.prepare(number, at, "undo", detail=detail)

        self.start([number for number in list(self.session.histories) if version(number) is not None], UNDONE, back)
