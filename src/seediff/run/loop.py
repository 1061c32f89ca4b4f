"""The loop of `generate`, `mask` and `segment`: it makes and commits the batches that are missing in a folder, so a
killed run continues.

A `Job` (job.py) is a command's work: how a batch is made, and what is written when all are finished. An `Engine`
(engine.py) makes the batches, in this process or in a cluster (cluster.py). `run` does the rest. What it does depends
on the state of the folder, which `look_into` (output.py) finds:

new          makes all batches
unfinished   makes the missing ones
complete     makes batches again of which files are missing, if any
to grow      has fewer samples than asked for: becomes unfinished (`grow`), then as above
to cut       unfinished, for more samples than asked for: is to have fewer (`end`), then as above
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..config.settings import DEFAULT, MACHINE, RunConfig
from ..config.speeds import remember_speed
from ..errors import Notice, UserError
from ..files.documents import read_json, read_toml
from ..files.messages import plural, show_bytes
from ..files.output_folders import free_bytes, parse_folder
from ..files.outputs import CONFIG, clear_leftovers, write_atomic
from ..files.reading import read_bytes
from ..workers import Progress
from .engine import Engine
from .job import AnyJob
from .output import (
    RUN_FOLDERS,
    BatchRecord,
    State,
    begin,
    check_same_weights,
    commit,
    find_lost,
    lock,
    look_into,
    read_record,
    record_path,
)
from .reopen import EARLIER, check_end, check_growth, end, grow

TIMED = 4
"""The fewest items from which a run's speed is remembered, because the first item takes longer."""


@dataclass(frozen=True)
class RunResult:
    """The finished output, and what this run did."""

    out: Path
    rows: Sequence[Mapping[str, Any]]
    """The rows of metadata.jsonl."""
    done: int
    """The number of items that this run made."""
    seconds: Mapping[str, float]
    """Part of the run → its seconds: "loading", "drawing" (network, VAE and capture), "masks", "writing" and others."""
    rejected: Sequence[Mapping[str, Any]] = ()
    """The rows of rejected.jsonl."""
    failed: Sequence[Mapping[str, str]] = ()
    """{"photo", "reason"} for each photograph that could not be used."""

    @property
    def made(self) -> int:
        return len(self.rows)


def run(job: AnyJob, out: Path | str, *, engine: Engine | None = None, progress: Progress | None = None) -> RunResult:
    """Make the missing parts of a job's output in the folder `out`.

    The same call continues a run that was interrupted at any moment, and gives the same bytes, whichever engine made
    which part. A finished output is left as it is. One with fewer samples of the same series grows, and an unfinished
    one for more samples ends with fewer.

    Raises UserError if `out` has other contents, is the output of another configuration, or is in use, and what the job
    raises. Raises OSError if the disk fills up.
    """
    out, done = parse_folder(out), 0
    state, lost = inspect(job, out)
    if state == "new" and job.runs_model:
        job.check_values()
    if state != "complete" or lost or (out / EARLIER).exists():
        with lock(out):
            done = _complete_locked(job, out, engine or Engine(), progress or (lambda done, total, what: None))
    return RunResult(out=out, done=done, seconds=job.timer, **job.read_result(out))


def dry_run(job: AnyJob, out: Path | str, verbose: bool = True) -> Iterator[str]:
    """Lines about what `run` would do, as `--dry-run` prints them. Writes nothing and loads no model. The first line
    comes at once, the others take seconds. verbose: as in `Job.describe`. Raises UserError if the run would fail before
    it loads the model.
    """
    out = parse_folder(out)
    state, lost = inspect(job, out)
    job.check_values()
    check_state(job, out, state)
    verb = {"unfinished": "continue", "to grow": "extend to", "to cut": "end with"}.get(state, "make")
    lines = job.describe(verbose)
    begin = f"Would {verb}"
    if lost:
        begin = f"Would make again {plural(len(lost), 'batch')} with missing files"
    elif state == "complete":
        begin = "already complete; nothing to do"
    yield f"{begin}: {next(lines)}"
    job.check()
    job.rehearse()
    yield from lines
    yield f"Output: {out}, {show_bytes(free_bytes(out))} free"


def inspect(job: AnyJob, out: Path) -> tuple[State, list[int]]:
    """(state, lost): the state of an output, and the batches of a complete output of which files are missing. Replaces
    the job's configuration by that of `look_into`. Raises UserError as `look_into` and `find_lost` do."""
    state, job.config = look_into(out, job.config)
    # A run that was killed when it had grown a dataset left the earlier rows in a complete output.
    if state != "complete" or (out / EARLIER).exists():
        return state, []
    return state, find_lost(out, job.batches)


def _complete_locked(job: AnyJob, out: Path, engine: Engine, report: Progress) -> int:
    """Make what is missing in a locked output. Returns the number of items that this run made."""
    state, lost = inspect(job, out)  # again, now that no other run can change it
    done = 0
    check_state(job, out, state)
    if state == "to grow":
        grow(out, job.config)
    if state == "to cut":
        end(out, job.config)
    if state != "complete" or lost:
        with engine, ExitStack() as stack:
            if state == "new" and job.runs_model:
                job.config = engine.resolve(job)
            if job.config.threads is not None:
                from ..devices import cpu_threads  # imports torch, which takes seconds and not every job needs

                stack.enter_context(cpu_threads(job.config.threads))
            if lost:
                done = _restore_lost(job, out, engine, lost, report)
            else:
                done = _make_all(job, out, engine, state == "new", report)
    (out / EARLIER).unlink(missing_ok=True)
    return done


def check_state(job: AnyJob, out: Path, state: str) -> None:
    """Raise UserError if the output cannot become one of the job's configuration without a loss."""
    if state == "to grow":
        check_growth(out)
    if state == "to cut":
        check_end(out, job.config)


def _restore_lost(job: AnyJob, out: Path, engine: Engine, lost: Sequence[int], report: Progress) -> int:
    """Make batches of a complete output again, and return the number of their items. Rows stay as they are, and so does
    a file that would come out differently, for which it raises UserError."""
    version = read_toml(out / CONFIG).get("version")
    if version != __version__:
        problem = f"files are missing, and seediff {version} made them, not {__version__}"
        raise UserError(out, problem, "restore them from a copy")
    count = sum(len(job.batches[number]) for number in lost)
    report(0, count, f"loading {job.config.model_label}")
    check_same_weights(out, job.config.model_label, engine.load(job))
    # A batch writes all of its files, also those that are there.
    names = [name for number in lost for name in read_json(out / record_path(number), BatchRecord).files]
    before = {name: read_bytes(out / name) for name in names if (out / name).is_file()}
    _make_and_commit(job, out, engine, dict.fromkeys(lost), report)
    changed = [name for name, data in before.items() if read_bytes(out / name) != data]
    for name in changed:
        write_atomic(out / name, before[name])
    if changed:
        problem = "is not the file that the run wrote, and was left as it is"
        raise UserError(out / changed[0], problem, "move it away, and the same command makes it again")
    return count


def _make_all(job: AnyJob, out: Path, engine: Engine, new: bool, report: Progress) -> int:
    """Make the missing batches and finish the output. Returns the number of items that this run made. new: there is
    nothing to continue."""
    records = {number: None if new else read_record(out, number) for number in job.batches}
    before, total = _count_items(job, records), sum(map(len, job.batches.values()))
    weights = ""
    if None in records.values():
        report(before, total, f"loading {job.config.model_label}")
        with job.timer("loading"):
            weights = engine.load(job)
    if not new:
        check_same_weights(out, job.config.model_label, weights)
    while True:
        if new:
            begin(out, job.config, weights)
        try:
            _make_and_commit(job, out, engine, records, report)
            break
        except RuntimeError as error:
            if not new or any(records.values()) or not _can_halve(job.config, total, error):
                raise
        _halve(job, total)  # behind the block, which holds the tensors of the batch that failed
        records = dict.fromkeys(job.batches)
    report(total, total, "finishing")
    clear_leftovers(out, RUN_FOLDERS)  # half-written files of killed processes
    rows, left_out = list[dict[str, Any]](), list[dict[str, Any]]()
    for record in records.values():
        if record is not None:
            rows += record.rows
            left_out += record.left_out
    job.finish(rows, left_out, out)
    return total - before


def _count_items(job: AnyJob, records: Mapping[int, BatchRecord | None]) -> int:
    """The number of items in finished batches."""
    return sum(len(job.batches[number]) for number, record in records.items() if record)


def _make_and_commit(
    job: AnyJob, out: Path, engine: Engine, records: dict[int, BatchRecord | None], report: Progress
) -> None:
    """Make and commit the batches without a record in `records`, and put their records there."""
    done = before = _count_items(job, records)
    total, begun = sum(map(len, job.batches.values())), time.perf_counter()

    def say(what: str) -> None:
        report(done, total, what)

    say("")
    missing = job.hardest_first([number for number, record in records.items() if record is None])
    with closing(engine.map(job, out, missing, say)) as finished:  # nothing is written after the output is unlocked
        for number, record in finished:
            records[number] = record
            with job.timer("writing"):
                commit(out, number, record)
            done += len(job.batches[number])
            say("")
    if done - before >= TIMED and type(engine) is Engine and job.runs_model:
        remember_speed(job.config, (time.perf_counter() - begun) / (done - before), *job.loading)


def _can_halve(config: RunConfig, total: int, error: RuntimeError) -> bool:
    """Whether an error says that batches do not fit into a GPU's memory, and nobody chose their size. total: the number
    of all items."""
    import torch

    own = config.source("batch_size") in (DEFAULT, MACHINE)
    return own and min(config.batch_size, total) > 1 and isinstance(error, torch.OutOfMemoryError)


def _halve(job: AnyJob, total: int) -> None:
    """From now on make batches of half the size. total: as in `_can_halve`."""
    import torch

    size = min(job.config.batch_size, total)
    half = (size + 1) // 2
    text = f"{size} pictures at once do not fit into the GPU's memory; batches have {half}"
    warnings.warn(text, Notice, stacklevel=2)
    job.rebatch(half)
    gc.collect()  # what the error held
    torch.cuda.empty_cache()
