"""The loop of `generate`, `mask` and `segment`: it makes the batches that are missing in a folder, so a killed run
continues. A batch counts as made when it is committed, which means that a record of its files is written.

A `Job` (job.py) is a command's work: what it plans, how a batch is made, and what is said of all. An `Engine`
(engine.py) makes the batches, in this process or in a cluster (cluster.py). `run` does the rest:

run                 locks the folder, and finds its state
_make_all           loads the model, and halves batches that do not fit into memory
_make_and_commit    commits each batch that `Engine.map` has made and written

What `run` does depends on the state of the folder, which `state_of_output` (output.py) finds:

new          makes all batches
unfinished   makes the missing batches
complete     makes nothing, and refuses a folder with missing or changed files (`check_files`)
ended        complete, but ended early with some batches: becomes unfinished, then as above
to grow      a complete output for fewer samples: becomes unfinished (`grow`), then as above
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config.settings import DEFAULT, MACHINE, RunConfig
from ..dataset import native
from ..errors import Notice, UserError
from ..files.messages import show_bytes
from ..files.outputs import CONFIG, check_writable, clear_leftovers, free_bytes, parse_folder
from ..files.reading import read_toml
from ..models.facts import Facts, facts_of_files
from ..rows.row import Row
from ..workers import Progress
from .engine import Engine
from .job import AnyJob
from .output import (
    EARLIER,
    RUN_FOLDERS,
    BatchRecord,
    Loaded,
    State,
    begin,
    check_files,
    check_growth,
    check_same,
    commit,
    ended_with,
    grow,
    lock,
    read_record,
    remove_unfinished,
    set_rows_aside,
    state_of_output,
    with_splits,
    write_config,
)
from .plan import Plan


@dataclass(frozen=True)
class RunResult:
    """The finished output, and what this run did."""

    out: Path
    rows: Sequence[Row]
    """The rows of metadata.jsonl."""
    done: int
    """The number of items that this run made."""
    seconds: Mapping[str, float]
    """Part of the run → its seconds: "loading", "drawing" (network, VAE and capture), "masks", "writing" and others."""
    rejected: Sequence[Row] = ()
    """The rows of rejected.jsonl."""
    asked: int = 0
    """The number of items that were asked for, if somebody ended the run early; 0: all are made."""
    failed: Sequence[Row] = ()
    """`photo` and `reason` for each photograph that could not be used."""

    @property
    def made(self) -> int:
        return len(self.rows)


def run(
    job: AnyJob,
    out: Path | str,
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] = warnings.warn,
    finish: bool = False,
) -> RunResult:
    """Make what a job's output lacks, in the folder `out`.

    The same call continues a run that was interrupted at any moment, and gives the same bytes, whichever engine made
    which part. A complete output stays as it is; if it has fewer samples than the job, it grows.

    Args:
        job: says what is made.
        out: the folder.
        engine: makes the batches; None: this process.
        progress: a function to report to.
        warn: shows a warning about doubtful results, before the first batch.
        finish: whether to end a stopped run with the batches that it has made. The same call without it goes on.

    Raises:
        UserError: if `out` has other contents, is the output of another configuration, lacks files, or is in use, and
            for what the job's plan refuses.
        OSError: if the disk fills up.
    """
    out, done = parse_folder(out), 0
    engine = engine or Engine()
    state, job = inspect(job, out)
    check_finish(state, out, finish)
    if state == "new" and job.runs_model:
        job.plan(Facts(job.found))
    check_device(job, out, state, finish, engine)
    if finish and state == "unfinished":
        with lock(out):
            _end_early(job, out)
    elif not finish and (state != "complete" or (out / EARLIER).exists()):
        with lock(out):
            done = _complete_locked(job, out, engine, progress or (lambda done, total, what: None), warn)
    job, asked = replace(job, ended=ended_with(read_toml(out / CONFIG))), 0
    if job.ended:
        asked = job.count
    return RunResult(out=out, done=done, seconds=job.timer, asked=asked, **_read_result(job, out))


def check_finish(state: State, out: Path, finish: bool) -> None:
    """Raise UserError if there is no stopped run to end. state: of the output. finish: as in `run`."""
    if finish and state in ("new", "to grow"):
        if state == "to grow":
            raise UserError("finish", f"the run in {out} is of fewer images", f"give their number, as in its {CONFIG}")
        raise UserError("finish", f"there is no stopped run in {out}", "leave it out")


def check_device(job: AnyJob, out: Path, state: State, finish: bool, engine: Engine) -> None:
    """Raise UserError if batches are missing, and the engine lacks the device to make them. state: of the output.
    finish: as in `run`."""
    if state == "complete" or finish:
        return
    try:
        engine.check_device(job)
    except UserError:
        if state == "new" or None in _records(job, out).values():
            raise


def dry_run(
    job: AnyJob, out: Path | str, verbose: bool = True, finish: bool = False, engine: Engine | None = None
) -> Iterator[str]:
    """The lines of `--dry-run`: what `run` would do. Writes nothing and loads no model. The first line comes at once,
    unless a device other than the CPU is looked for. The others take seconds, except those about a complete output.

    Args:
        job: says what would be made.
        out: the folder.
        verbose: whether lines also name captured layers and all settings.
        finish: as in `run`.
        engine: would make the batches; None: this process.

    Raises:
        UserError: if the run would fail before it loads the model.
    """
    # 1. What is there, and what values alone refuse
    out = parse_folder(out)
    state, job = inspect(job, out)
    check_finish(state, out, finish)
    plan = job.plan(Facts(job.found))
    if state != "complete":
        check_writable(out)
    if state == "to grow":
        check_growth(out)
    check_device(job, out, state, finish, engine or Engine())
    begin = {
        "new": "Would make",
        "unfinished": "Would continue",
        "ended": "Would continue",
        "to grow": "Would extend to",
        "complete": "already complete; nothing to do",
    }[state]
    if finish and state == "unfinished":
        begin = f"Would end with {_count_finished(job, out, _records(job, out))} finished, of those asked for"
    elif finish and state == "ended":
        begin = "already ended; nothing to do"
    contents = job.contents(plan)
    yield f"{begin}: {next(contents)}"
    if state == "ended":
        yield f"Ended early before, with {job.ended}"

    # 2. The plan, as far as the model's small files say it; a complete output needs none
    if state == "complete" or finish:
        yield from contents
        if verbose:
            yield from job.config.source_lines()
    else:
        plan = job.plan(facts_of_files(job.found, getattr(job.config, "scheduler", None)))
        yield from contents
        yield from plan.lines(job.resolved(), job.offload, verbose=verbose)
    yield from job.doubts
    if state != "complete" and not finish and plan.kept_bytes:
        missing = job.count - _count_items(job, _records(job, out))
        yield from filter(None, [disk_note(plan, out, missing)])
    yield f"Output: {out}, {show_bytes(free_bytes(out))} free"


def disk_note(plan: Plan | None, out: Path, missing: int) -> str:
    """A warning that attention maps, by far the largest files, need more than the free space; "" if they do not, or if
    it is not known. missing: the number of items that are to be made."""
    if plan is None:
        return ""
    needed, free = missing * plan.kept_bytes, free_bytes(out)
    if needed <= free:
        return ""
    files = f"{missing} files of attention maps take about {show_bytes(needed)}"
    return f"The disk is too small: {files}, and {show_bytes(free)} are free"


def inspect(job: AnyJob, out: Path) -> tuple[State, AnyJob]:
    """(state, job): the state of an output, and the job with the configuration to make or continue the output with.
    Raises UserError for an output that is not the job's, and for a complete one that lacks files."""
    state, config, ended = state_of_output(out, job.config)
    job = replace(job.with_config(config), ended=ended)
    if state in ("complete", "ended"):
        check_files(out, job.batches, job.left_out[1])
    return state, job


def _read_result(job: AnyJob, out: Path) -> dict[str, Any]:
    """The fields of `RunResult` that are in the finished output: `rows`, and the field that the job's `left_out` names.
    Pages that somebody removed are written again."""
    field, file = job.left_out
    result: dict[str, Any] = {"rows": native.read_rows(out, job.config.last_file)}
    if (out / file).is_file():
        result[field] = native.read_rows(out, file)
    if not all((out / page).is_file() and (out / page).stat().st_size for page in job.pages):
        job.write_pages(result["rows"], result.get(field, ()), out)
    return result


def _complete_locked(job: AnyJob, out: Path, engine: Engine, report: Progress, warn: Callable[[str], None]) -> int:
    """Make what is missing in an output that this process has locked. Returns the number of items that it made."""
    state, job = inspect(job, out)  # a second time, because now no other run can change it
    done = 0
    if state == "to grow":
        grow(out, job.config)
    elif job.ended:
        set_rows_aside(out)
        write_config(out, job.config)
        job = replace(job, ended=0)
    if state != "complete":
        with engine, ExitStack() as stack:
            if state == "new" and job.runs_model:
                job = job.with_config(engine.resolve(job))
            if job.config.threads is not None:
                from ..devices import cpu_threads  # imports torch, which takes seconds and not every job needs

                stack.enter_context(cpu_threads(job.config.threads))
            done = _make_all(job, out, engine, state == "new", report, warn)
    # A run that was killed after it had grown an output leaves the earlier rows in a complete one
    (out / EARLIER).unlink(missing_ok=True)
    return done


def _make_all(job: AnyJob, out: Path, engine: Engine, new: bool, report: Progress, warn: Callable[[str], None]) -> int:
    """Make the missing batches and finish the output. Returns the number of items that this run made. new: whether the
    output has no batch yet."""
    records = _records(job, out)
    before, total, loaded = _count_items(job, records), job.count, Loaded()
    if None in records.values():
        report(before, total, f"loading {job.config.model_label}")
        with job.timer("loading"):
            loaded = engine.load(job)
        missing = disk_note(engine.ready.plan, out, total - before)
        for doubt in filter(None, [*job.doubts, missing]):  # not before everything that may be refused
            warn(doubt)
    if not new:
        check_same(out, job.config.model_label, loaded)
    while True:  # again with half the batch size, if a new output's first batch does not fit into the GPU's memory
        if new:
            begin(out, job.config, loaded)
        try:
            _make_and_commit(job, out, engine, records, report)
            break
        except RuntimeError as error:
            if not new or any(records.values()) or not _can_halve(job.config, total, error):
                raise
        job = _halved(job, total)  # outside the `except`, where the error still holds the tensors of the failed batch
        records = dict.fromkeys(job.batches)
    report(total, total, "finishing")
    _finish(job, out, records)
    return total - before


def _records(job: AnyJob, out: Path) -> dict[int, BatchRecord | None]:
    """Number → record of each batch in an output that was begun; None if the batch is missing."""
    return {number: read_record(out, number) for number in job.batches}


def _finish(job: AnyJob, out: Path, records: Mapping[int, BatchRecord | None]) -> None:
    """Write what is said about all batches."""
    clear_leftovers(out, RUN_FOLDERS)  # half-written files of killed processes
    rows, left_out = list[Row](), list[Row]()
    for record in records.values():
        if record is not None:
            rows += record.rows
            left_out += record.left_out
    job.finish(with_splits(out, rows), left_out, out)


def _end_early(job: AnyJob, out: Path) -> None:
    """Finish an output that this process has locked, with the batches that it has."""
    _, job = inspect(job, out)  # a second time, because now no other run can change it
    records = _records(job, out)
    ended = _count_finished(job, out, records)
    if ended == job.count:
        ended = 0
    job = replace(job, ended=ended)
    write_config(out, job.config, ended)
    missing = set[str]()
    for number, record in records.items():
        if record is None:
            missing.update(map(job.name_of, job.batches[number]))
    remove_unfinished(out, filter(None, records.values()), missing)
    _finish(job, out, records)
    (out / EARLIER).unlink(missing_ok=True)


def _count_finished(job: AnyJob, out: Path, records: Mapping[int, BatchRecord | None]) -> int:
    """The number of items with which a stopped run is ended. Raises UserError if there are none."""
    finished = _count_items(job, records)
    if not finished:
        raise UserError(out, "has no finished batch", "leave out --finish, which ends a run with what is made")
    return finished


def _count_items(job: AnyJob, records: Mapping[int, BatchRecord | None]) -> int:
    """The number of items in finished batches."""
    return sum(len(job.batches[number]) for number, record in records.items() if record)


def _make_and_commit(
    job: AnyJob, out: Path, engine: Engine, records: dict[int, BatchRecord | None], report: Progress
) -> None:
    """Make and commit the missing batches, and put their records into `records`: number → record, None if missing."""
    done, total = _count_items(job, records), job.count

    def say(what: str) -> None:
        report(done, total, what)

    say("")
    missing = [number for number, record in records.items() if record is None]
    with closing(engine.map(job, out, missing, say)) as finished:  # nothing is written after the output is unlocked
        for number, record in finished:
            records[number] = record
            with job.timer("writing"):
                commit(out, number, record)
            done += len(job.batches[number])
            say("")


def _can_halve(config: RunConfig, total: int, error: RuntimeError) -> bool:
    """Whether an error says that a batch does not fit into a GPU's memory, and the batch can be made smaller: it has
    several items, and no user chose its size. total: the number of all items."""
    import torch

    own = config.source("batch_size") in (DEFAULT, MACHINE)
    return own and min(config.batch_size, total) > 1 and isinstance(error, torch.OutOfMemoryError)


def _halved(job: AnyJob, total: int) -> AnyJob:
    """The job with batches of half the size. total: the number of all items."""
    import torch

    size = min(job.config.batch_size, total)
    half = (size + 1) // 2
    text = f"{size} images at once do not fit into the GPU's memory; batches have {half}"
    warnings.warn(text, Notice, stacklevel=2)
    gc.collect()  # the tensors of the failed batch
    torch.cuda.empty_cache()
    return job.with_config(job.config.changed(MACHINE, batch_size=half))
