"""Draws rejected samples again while their set is open: the run of `generate --top-up`, under the lock that the session holds."""

from __future__ import annotations

import threading
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from ..config.generate import GenerateConfig
from ..dataset import native
from ..dataset.store import find_extras
from ..errors import UserError
from ..run.generate import GenerateJob
from ..run.loop import run
from ..run.output import BatchRecord, Place
from ..run.reopen import files_of, reopen_waiting, sample_number
from .many import Job
from .session import Session


class Held(Place):
    """A folder that this process has already locked."""

    def locked(self) -> AbstractContextManager[None]:
        return nullcontext()


class Redraw(GenerateJob):
    """Draws samples again until `stop` is set; the remaining samples then keep their files and rows. rows: index → row of the samples that
    are not begun."""

    def __init__(self, config: GenerateConfig, rows: MutableMapping[int, Mapping[str, Any]], stop: threading.Event) -> None:
        super().__init__(config)
        self.rows, self.stop = rows, stop

    @cached_property
    def extras(self) -> Mapping[str, Mapping[Any, Path]]:
        return find_extras(self.folder)

    def resume(self, folder: Path) -> None:
        super().resume(folder)
        self.folder = folder
        vars(self).pop("batches", None)  # `load` computed them before the samples to draw again were known

    def capture(self, batch: Sequence[Any]) -> Any:
        row = self.rows.pop(batch[0].index, None) if batch[0].attempt else None
        return row if row and self.stop.is_set() else super().capture(batch)

    def write(self, captured: Any, out: Path) -> BatchRecord:
        if not isinstance(captured, Mapping):
            return super().write(captured, out)
        record = BatchRecord(rows=[dict(captured)])
        for path in files_of(out, captured, self.extras):
            record.note(out, path.relative_to(out).as_posix())
        return record


def redraw(session: Session, config: GenerateConfig, numbers: Sequence[int], job: Job) -> dict[str, Any]:
    """Draw samples again, and return the report for `Jobs`. If the job is stopped, the remaining samples are rejected as before. Raises
    UserError and OSError; if the drawing had begun, the run then stays unfinished, and the next call continues it."""
    folder, samples = session.subject.folder, session.subject.samples
    place = Held(folder)
    drawing = Redraw(place.look_into(config)[1], session.kept, job.stop)
    job.say("loading the model", total=len(numbers))
    place.check_weights(config.model, drawing.load())  # errors up to here leave the set unchanged
    for number in session.clear(numbers):
        drawing.rows[sample_number(samples[number].mask)] = samples[number].row
    if not (numbers := sorted(session.drawing)):  # somebody changed the verdicts while the model was loading
        return {"text": "none of them is rejected any more"}
    count = len(numbers)

    def progress(done: int, total: int, what: str) -> None:
        done = max(0, count - (total - done))
        job.at(done, count, f"{done} of {count} drawn again")

    try:
        reopen_waiting(place, config)
        run(drawing, place, progress=progress)
    except (UserError, OSError) as error:
        raise UserError(f"{error}; drawing again continues what was begun") from error
    there = {native.sample_name(row["file_name"]): row for row in native.read_rows(folder)}
    now = {number: there[samples[number].name] for number in numbers if samples[number].name in there}
    drawn = {number: row for number, row in now.items() if row.get("attempt") != samples[number].row.get("attempt")}
    session.renew(drawn)
    left = count - len(drawn)
    return {"text": f"{len(drawn)} drawn again" + (f"; {left} left as they were" if left else "")}
