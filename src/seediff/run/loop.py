"""The loop of `generate`, `mask` and `segment`: it makes and commits the batches that are missing in a folder, so a
killed run continues.

A `Job` is a command's work: how a batch is made, and what is written when all are finished. An `Engine` makes the
batches, in this process or in a cluster (cluster.py). `run` does the rest.
"""

from __future__ import annotations

import gc
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from .. import __version__
from ..config.settings import DEFAULT, MACHINE, Config, RunConfig
from ..config.speeds import remember_speed
from ..dataset import native
from ..errors import Notice, UserError
from ..files.documents import read_json, read_toml
from ..files.messages import plural, show_bytes
from ..files.output_folders import free_bytes, parse_folder
from ..files.outputs import CONFIG, clear_leftovers, write_atomic
from ..files.reading import read_bytes
from ..models.describe import ModelInfo, describe
from ..models.model_files import find_model
from ..models.saving_memory import USUAL_LOADING, Loading
from ..workers import GPU_ALONE, Progress
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
Item = TypeVar("Item")
BatchCapture = TypeVar("BatchCapture")
Say = Callable[[str], None]
"""Called with a text about the current activity."""
_TIMING = threading.Lock()


class Timer(dict[str, float]):
    """Name of a part of a run → its seconds, summed over threads and processes."""

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add({what: time.perf_counter() - start})

    def add(self, seconds: Mapping[str, float]) -> None:
        with _TIMING:
            for what, more in seconds.items():
                self[what] = self.get(what, 0.0) + more

    def take(self) -> Mapping[str, float]:
        """The seconds so far. The timer begins again at zero."""
        taken = dict(self)
        self.clear()
        return taken


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


class Job(ABC, Generic[Config, Item, BatchCapture]):
    """The work of one command. A batch must depend only on the configuration and on its number, never on which files
    exist already. Every process that makes batches loads its own copy of the job. Only `run` replaces `config`: first
    by what the output says, then by one with this machine's device.
    """

    left_out: tuple[str, str] = "", ""
    """A field of `RunResult`, and the output's file with its rows, which are about what did not become a sample."""
    runs_model = True
    """False for a job that draws without a model: its device, number format and threads stay open."""

    def __init__(self, config: Config, info: ModelInfo | None = None, loading: Loading = USUAL_LOADING) -> None:
        """info: the model, if it was found already."""
        self.config, self.loading = config, loading
        if info is not None:
            self.info = info  # takes the place of the cached property
        self.device = config.device
        """The device as the user named it, possibly with an index."""
        self.timer = Timer()

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """All items, in order."""

    @cached_property
    def batches(self) -> Mapping[int, Sequence[Item]]:
        """Batch number → items."""
        items = self.items()
        return {number: [items[i] for i in batch] for number, batch in enumerate(self.config.batches(len(items)))}

    @cached_property
    def info(self) -> ModelInfo:
        """The model, as far as it is known before it is loaded. Raises UserError."""
        return describe(find_model(self.config.model, self.config.base))

    def resolved(self) -> Config:
        """The configuration with device, number format and, on the cpu, threads filled in: they decide rounding."""
        import torch

        from ..devices import default_device  # imports torch

        device = self.config.device or default_device()
        threads = torch.get_num_threads() if device == "cpu" else None
        return self.config.filled(MACHINE, device=device, dtype=self.usual_dtype(device), threads=threads)

    def usual_dtype(self, device: str) -> str:
        """The number format in which the model computes on a device by default."""
        from ..devices import default_dtype  # imports torch

        return default_dtype(device, self.info.family.half)

    def __getstate__(self) -> dict[str, Any]:
        """The job's state for another process, perhaps on another machine. That process finds the model again, and
        makes the list of items again, which may be millions."""
        kind = type(self)
        cached = {name for name in vars(self) if isinstance(getattr(kind, name, None), cached_property)}
        return {name: value for name, value in vars(self).items() if name not in cached}

    def check_values(self) -> None:
        """Do the part of `check` that needs no torch, whose import takes seconds."""

    def check(self) -> None:
        """Raise UserError for mistakes that show before a model is loaded."""

    def rehearse(self) -> None:
        """For a dry run, after `check`: raise UserError for what else `load` would refuse, as far as the model's small
        files show it."""

    def hardest_first(self, numbers: Sequence[int]) -> Sequence[int]:
        """The numbers of batches, first those that need the most memory."""
        return numbers

    def describe(self, verbose: bool) -> Iterator[str]:
        """The lines of `--dry-run`. The first says what would be made, and is made before `check`. verbose: also say
        what is captured, and all settings."""
        yield from ()

    def load(self) -> str:
        """Load the model and check everything that could fail later. Is called if a batch is missing. Returns the
        fingerprint of the model's weights, "" without a model."""
        return ""

    @abstractmethod
    def capture(self, batch: Sequence[Item]) -> BatchCapture:
        """Do the first step of a batch: everything that needs the model."""

    @abstractmethod
    def write(self, captured: BatchCapture, out: Path) -> BatchRecord:
        """Do the second step: write the batch's files into `out`. May run in a thread while the next batch is
        captured."""

    def rebatch(self, size: int) -> None:
        """From now on make batches of this size, which the machine's memory allows."""
        self.config = self.config.changed(MACHINE, batch_size=size)
        vars(self).pop("batches", None)

    def make_batch(self, number: int, out: Path) -> BatchRecord:
        return self.write(self.capture(self.batches[number]), out)

    def write_ready(self, captured: BatchCapture, out: Path, ready: Any) -> BatchRecord:
        """`write` in a thread. ready: a CUDA event to wait for before captured tensors are read, or None."""
        if ready is not None:
            ready.wait()
        with GPU_ALONE:
            return self.write(captured, out)

    @abstractmethod
    def finish(self, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], out: Path) -> None:
        """Write the files about the whole output, the configuration's `last_file` last."""

    def read_result(self, out: Path) -> dict[str, Any]:
        """The fields of `RunResult` that the finished output gives."""
        field, file = self.left_out
        result: dict[str, Any] = {"rows": native.read_rows(out)}
        if (out / file).is_file():
            result[field] = native.read_rows(out, file)
        return result


AnyJob = Job[Any, Any, Any]


FinishedBatch = tuple[int, BatchRecord]
"""The number and record of a batch that is made and not yet committed."""


class Engine(AbstractContextManager["Engine"]):
    """Makes batches in this process; its subclasses make them in others.

    writes_in_thread: whether another thread makes a batch's masks and files while the next batch is captured. None:
    only on CUDA, which then never waits for a disk; on a CPU the same cores do both, and two threads crash Metal.
    """

    def __init__(self, writes_in_thread: bool | None = None) -> None:
        self.writes_in_thread = writes_in_thread

    def __exit__(self, *_: object) -> None:
        return None

    def resolve(self, job: AnyJob) -> RunConfig:
        """The job's configuration with device, number format and threads, as its batches will be made."""
        return job.resolved()

    def load(self, job: AnyJob) -> str:
        """Prepare for making batches. Returns the fingerprint of the model's weights, "" without a model."""
        return job.load()

    def map(self, job: AnyJob, out: Path, numbers: Sequence[int], say: Say) -> Generator[FinishedBatch, None, None]:
        """Make batches, and yield each once its files are written and its seconds are in the job's timer."""
        device = job.device or job.config.device or "cpu"
        if not (device.startswith("cuda") if self.writes_in_thread is None else self.writes_in_thread):
            for number in numbers:
                yield number, job.make_batch(number, out)
            return
        earlier: tuple[int, Future[BatchRecord]] | None = None
        if device.startswith("cuda"):
            say("the first batch also compiles kernels")
        with writing_thread(device) as write:
            for number in numbers:
                # The batch before stays in memory meanwhile, however fast it is written: what fits once, always fits.
                captured = job.capture(job.batches[number])
                written = write(job, captured, out)
                if earlier:
                    yield earlier[0], earlier[1].result()
                earlier = number, written
            if earlier:
                yield earlier[0], earlier[1].result()


@contextmanager
def writing_thread(device: str | None) -> Iterator[Callable[[AnyJob, Any, Path], Future[BatchRecord]]]:
    """In this block, a function that runs `Job.write` in another thread, given the job, what it captured, and the
    folder. At the end, also after an error, the batch that is being written is finished."""
    import torch

    # A `draw` of the user's may use another machine's device.
    cuda = torch.cuda if (device or "").startswith("cuda") and torch.cuda.is_available() else None

    def begin_thread() -> None:
        if cuda:  # on its own stream; otherwise its work would wait for the capture that runs meanwhile
            cuda.set_stream(cuda.Stream(device))

    with ThreadPoolExecutor(1, thread_name_prefix="writing", initializer=begin_thread) as thread:

        def write(job: AnyJob, captured: Any, out: Path) -> Future[BatchRecord]:
            ready = cuda and cuda.current_stream(device).record_event()
            return thread.submit(job.write_ready, captured, out, ready)

        yield write


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
    report(0, sum(len(job.batches[number]) for number in lost), f"loading {job.config.model_label}")
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
    return sum(len(job.batches[number]) for number in lost)


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
    rows, rejected = list[dict[str, Any]](), list[dict[str, Any]]()
    for record in records.values():
        if record is not None:
            rows += record.rows
            rejected += record.rejected
    job.finish(rows, rejected, out)
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
