"""The loop of `generate`, `mask`, `segment` and `predict`: it makes the batches that are missing in a folder, so a
killed run continues. A batch counts as made when it is committed, which means that a record of its files is written.

A `Job` (job.py) is a command's work: what it refuses, how a batch is made, and what is said of all. An `Engine`
(engine.py) makes the batches, in this process or in a cluster. `run` does the rest:

inspect             finds what is missing
make_missing        loads the model, commits each batch, and halves batches that do not fit into memory
_complete           writes what is said of all batches, the page last: without it, an output is not finished
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

from ..dataset import native
from ..errors import Notice, UserError
from ..files.messages import show_bytes
from ..files.outputs import check_writable, clear_leftovers, free_bytes, parse_folder, write_atomic
from ..rows.row import Row
from ..workers import Progress
from .engine import Engine, Makers
from .job import AnyJob, AnyModelJob, Self
from .output import (
    RUN_FOLDERS,
    BatchRecord,
    RunResult,
    begin,
    commit,
    config_to_continue,
    go_on,
    has_records,
    lock,
    read_record,
    with_written,
)
from .plan import Plan, plan_lines

Records = dict[int, BatchRecord | None]
"""Number → record of each batch; None if the batch is missing."""
Warn = Callable[[str], None]


def run(
    job: AnyJob,
    out: Path | str,
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
    warn: Warn = warnings.warn,
    finish: bool = False,
) -> RunResult:
    """Make what a job's output lacks, in the folder `out`.

    The same call continues a run that was interrupted at any moment, and gives the same bytes, whichever engine made
    which part. A complete output stays as it is; if it has fewer samples than the job, it grows.

    job: says what is made. out: the folder. engine: makes the batches; None: this process. progress: a function to
    report to. warn: shows a warning about doubtful results, before the first batch. finish: whether to end a stopped
    run with the batches that it has made; the same call without it goes on.

    Raises UserError if `out` has other contents, is the output of another configuration, or is in use, and for what the
    job refuses. Raises OSError if the disk fills up.
    """
    out = parse_folder(out)
    engine = engine or Engine()
    ahead = look_ahead(job, out, finish, engine)
    job, records = ahead.job, ahead.records
    if ahead.acts or not all((out / name).is_file() for name in job.ends):
        with lock(out):
            job, records = inspect(job, out)  # a second time, because now no other run can change it
            if ahead.makes:
                job, records = make_missing(job, out, records, engine, progress or (lambda *_: None), warn)
            _complete(job, out, records)
    file = job.left_out_file
    left_out = {file: native.read_rows(out, file)} if (out / file).is_file() else {}
    made = _count(job, records)
    asked = job.count if made < job.count else 0
    rows = native.read_rows(out, job.ends[0])
    return RunResult(out, rows, made - ahead.made, job.timer, left_out, asked)


def inspect(job: Self, out: Path) -> tuple[Self, Records]:
    """(job, records): the job with the configuration to make or continue its output with, and the record of each batch.
    Raises UserError for an output that is not the job's."""
    job = job.with_config(config_to_continue(out, job.config))
    batches = enumerate(job.config.batches(job.count))  # without the items, which may be millions
    return job, {number: read_record(out, number, len(batch)) for number, batch in batches}


def _count(job: AnyJob, records: Records) -> int:
    """The number of items in finished batches."""
    return sum(
        len(batch) for batch, record in zip(job.config.batches(job.count), records.values(), strict=True) if record
    )


@dataclass(frozen=True)
class Outlook(Generic[Self]):
    """What a run will do in a folder."""

    job: Self
    """With the configuration of the output."""
    records: Records
    finish: bool
    """Whether the run ends a stopped run instead of going on."""

    @property
    def made(self) -> int:
        """The number of items in finished batches."""
        return _count(self.job, self.records)

    @property
    def makes(self) -> bool:
        """Whether the run makes batches."""
        return None in self.records.values() and not self.finish

    @property
    def acts(self) -> bool:
        """Whether the run makes batches or ends a stopped run; if not, the output is complete."""
        return self.makes or (self.finish and self.made < self.job.count)

    def line(self, contents: str) -> str:
        """What the run does: `make: 9 images in 2 batches`. contents: the items, as text."""
        start = "already complete; nothing to do"
        if self.makes:
            start = "continue" if self.made else "make"
        elif self.acts:
            start = f"end with {self.made} finished, of those asked for"
        return f"{start}: {contents}"


def look_ahead(job: Self, out: Path, finish: bool, engine: Engine) -> Outlook[Self]:
    """What `run` with these arguments will do. Writes nothing and loads no model. Raises UserError for what `run`
    refuses before it loads the model."""
    job, records = inspect(job, out)
    ahead = Outlook(job, records, finish)
    if finish and not ahead.made:
        raise UserError("finish", f"there is no stopped run with a finished batch in {out}", "leave it out")
    if ahead.makes:
        if job.runs_model:
            job.check()
        check_writable(out)
        engine.check_device(job)
    return ahead


def first_line(job: AnyModelJob, out: Path | str, finish: bool = False, engine: Engine | None = None) -> str:
    """A line that says before a run what it will do. The arguments and errors are those of `dry_run`."""
    ahead = look_ahead(job, parse_folder(out), finish, engine or Engine())
    return ahead.line(next(ahead.job.contents()))


def dry_run(
    job: AnyModelJob, out: Path | str, verbose: bool = True, finish: bool = False, engine: Engine | None = None
) -> Iterator[str]:
    """The lines of `--dry-run`: what `run` would do. Writes nothing and loads no model. The first line comes at once,
    unless a device other than the CPU is looked for. The others take seconds, except those about a complete output.

    job: says what would be made. out: the folder. verbose: whether lines also name captured layers and all settings.
    finish: as in `run`. engine: would make the batches; None: this process. Raises UserError if the run would fail
    before it loads the model.
    """
    out = parse_folder(out)
    ahead = look_ahead(job, out, finish, engine or Engine())
    job = ahead.job
    contents = job.contents()
    line = ahead.line(next(contents))
    yield f"Would {line}" if ahead.acts else line
    plan = job.plan(job.model_info) if ahead.makes else None
    yield from contents
    if ahead.makes:
        yield from plan_lines(plan, job.resolved(), job.model_info, job.offload, verbose=verbose)
    elif verbose:
        yield from job.config.lines()
    yield from job.doubts
    yield from filter(None, [disk_note(plan, out, job.count - ahead.made)])
    yield f"Output: {out}, {show_bytes(free_bytes(out))} free"


def disk_note(plan: Plan | None, out: Path, left: int) -> str:
    """A warning that attention maps, by far the largest files, need more than the free space; "" if they do not, or if
    it is not known. left: the number of items that are to be made."""
    if plan is None:
        return ""
    needed = left * plan.kept_bytes
    free = free_bytes(out)
    if needed <= free:
        return ""
    files = f"{left} files of attention maps take about {show_bytes(needed)}"
    return f"The disk is too small: {files}, and {show_bytes(free)} are free"


def make_missing(
    job: AnyJob, out: Path, records: Records, engine: Engine, report: Progress, warn: Warn
) -> tuple[AnyJob, Records]:
    """Make and commit the missing batches of an output that this process has locked. Returns the job as it was made,
    and the records."""
    before = _count(job, records)
    new = not before
    with engine, ExitStack() as stack:
        if new and job.runs_model:
            job = job.with_config(engine.resolve(job))
        if job.config.threads is not None:
            from ..devices import cpu_threads  # imports torch, which takes seconds and not every job needs

            stack.enter_context(cpu_threads(job.config.threads))
        report(before, job.count, f"loading {job.config.model_label}")
        with job.timer("loading"):
            makers = engine.load(job)
        too_small = disk_note(makers.plan, out, job.count - before)
        for doubt in filter(None, [*job.doubts, too_small]):  # not before everything that may be refused
            warn(doubt)
        if not new:
            go_on(out, job.config, makers.loaded)
        (out / job.ends[-1]).unlink(missing_ok=True)
        if new:
            return _make_new(job, out, makers, report)
        return job, _make_and_commit(job, out, makers, records, report)


def _make_new(job: AnyJob, out: Path, makers: Makers, report: Progress) -> tuple[AnyJob, Records]:
    """Begin an output, and make and commit its batches; again with half the batch size, if the first batch does not fit
    into the GPU's memory. Returns the job as it was made, and the records."""
    begin(out, job.config, makers.loaded)
    try:
        return job, _make_and_commit(job, out, makers, dict.fromkeys(job.batches), report)
    except RuntimeError as error:
        if has_records(out) or not _can_halve(job, error):
            raise
    # Outside of the `except`, where the error still holds the tensors of the failed batch
    return _make_new(_halved(job), out, makers, report)


def _make_and_commit(job: AnyJob, out: Path, makers: Makers, records: Records, report: Progress) -> Records:
    """Make and commit the missing batches. Returns the records of all. records: of each batch until now."""
    records = dict(records)
    done = _count(job, records)
    total = job.count

    def say(what: str) -> None:
        report(done, total, what)

    say("")
    numbers = [number for number, record in records.items() if record is None]
    with closing(makers.make(job, out, numbers, say)) as finished:  # nothing is written after the output is unlocked
        for number, record in finished:
            with job.timer("writing"):
                commit(out, number, record, len(job.batches[number]))
            records[number] = record
            done += len(job.batches[number])
            say("")
    say("finishing")
    return records


def _complete(job: AnyJob, out: Path, records: Records) -> None:
    """Write what is said about all batches."""
    clear_leftovers(out, RUN_FOLDERS)  # half-written files of killed processes
    rows: list[Row] = []
    left_out: list[Row] = []
    for record in filter(None, records.values()):
        rows += record.rows
        left_out += record.left_out
    file = job.left_out_file
    if left_out:
        write_atomic(out / file, native.jsonl(left_out))
    elif file:
        (out / file).unlink(missing_ok=True)  # of a run that was ended before
    facts = job.about(left_out)
    made = _count(job, records)
    if made < job.count:
        ended = {"ended early": f"{made} of the {job.count} asked for were made"}
        facts = replace(facts, entries={**facts.entries, **ended})
    job.complete(with_written(rows, out), facts, out)


def _can_halve(job: AnyJob, error: RuntimeError) -> bool:
    """Whether an error says that a batch does not fit into a GPU's memory, and its size may become smaller."""
    import torch

    own = "batch_size" not in job.config.given
    return own and min(job.config.batch_size, job.count) > 1 and isinstance(error, torch.OutOfMemoryError)


def _halved(job: AnyJob) -> AnyJob:
    """The job with batches of half the size."""
    import torch

    size = min(job.config.batch_size, job.count)
    half = (size + 1) // 2
    text = f"{size} images at once do not fit into the GPU's memory; batches have {half}"
    warnings.warn(text, Notice, stacklevel=2)
    gc.collect()  # the tensors of the failed batch
    torch.cuda.empty_cache()
    return job.with_config(replace(job.config, batch_size=half))
