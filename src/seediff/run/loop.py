"""The one loop of every long command: missing batches, each made and committed, into a folder or store; continued where a killed run ended.

A command is a `Job`: what its batches are, how one is made, and what is written when all are. An `Engine` is a way to map that over the
missing batches: in this process (`Local`), in several of this machine (`Processes`), in a cluster (cluster.py). `run` decides the rest,
the same for every command and every engine: who may write, what is done already, what is loaded, committed, reported and timed. `plan`
says what `run` would do.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..config.base import Config, resolve_device
from ..dataset import native
from ..devices import cpu_threads
from ..files.output_folders import Out
from ..files.outputs import write_atomic
from ..models.memory import Offload
from ..workers import Progress, check_workers, in_order
from .output import BatchRecord, Place, open_place
from .reopen import check_growth, grow

Item = TypeVar("Item")
Captured = TypeVar("Captured")
Say = Callable[[str], None]
"""Is told what is going on."""
_TIMING = threading.Lock()


@dataclass
class Timer:
    """Seconds that the parts of a run took, by their names; of several threads and processes together, if they are."""

    seconds: dict[str, float] = field(default_factory=dict)

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
                self.seconds[what] = self.seconds.get(what, 0.0) + more

    def take(self) -> dict[str, float]:
        """The seconds so far; it begins anew."""
        with _TIMING:
            taken, self.seconds = self.seconds, {}
        return taken


@dataclass(frozen=True)
class RunResult:
    """What there is after a run, and how long the parts of this run took.

    rows: those of metadata.jsonl; of `segment` {"photo", "width", "height", "segments": […]} of each photograph. done: items that this run
    made and not an earlier one. seconds: "loading" the model, "drawing" (network, VAE and capture), "reading", "capturing attention",
    "masks", "segmenting", "naming", "writing", whatever a command does. rejected: rows of rejected.jsonl. failed: {"photo", "reason"} of
    each photograph that could not be used. picture: the file to look at, or a folder of them.
    """

    out: Out
    rows: Sequence[Mapping[str, Any]]
    done: int
    seconds: Mapping[str, float]
    rejected: Sequence[Mapping[str, Any]] = ()
    failed: Sequence[Mapping[str, str]] = ()
    picture: str = native.PREVIEW

    @property
    def made(self) -> int:
        return len(self.rows)


class Job(ABC, Generic[Config, Item, Captured]):
    """One command's work. A batch must follow from the configuration and its number alone, never from which files are already there.

    It can be pickled until it is loaded: every process that makes batches loads a copy of its own.
    """

    on_device = True
    """Whether the configuration's device, number format and threads are those of what computes here."""

    def __init__(self, config: Config, folders: Sequence[str], offload: Offload = "none") -> None:
        """folders: of the output that files go to. offload: which parts of the model wait in the computer's memory; changes no byte."""
        self.config, self.folders = config, folders
        self.offload: Offload = offload
        self.device = config.device
        """As the user named it, with an index perhaps."""
        self.timer = Timer()

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """Everything that is to be done, in order."""

    @cached_property
    def batches(self) -> Mapping[int, Sequence[Item]]:
        """Number → items."""
        items = self.items()
        return {number: [items[i] for i in batch] for number, batch in enumerate(self.config.batches(len(items)))}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "batches"}  # there may be millions of items

    def resume(self, folder: Path) -> None:
        """Read what the output in `folder` says of its batches besides the configuration. Called before any batch is looked at."""

    def check(self) -> None:
        """Raise UserError for what the small files of a model tell before its weights are loaded."""

    def plan(self, place: Place, verb: str) -> list[str]:
        """What a run would do, line by line, for `--dry-run`. verb: "make", "continue" what is unfinished, or
        "extend to" where there are fewer samples."""
        return []

    def load(self) -> str:
        """Load the model and check all that could fail later; called once, and only when a batch is to be made. Returns the
        fingerprint of its weights, "" where there is none."""
        return ""

    @abstractmethod
    def describe(self, batch: Sequence[Item]) -> str:
        """What the progress bar says during a batch."""

    @abstractmethod
    def capture(self, batch: Sequence[Item]) -> Captured:
        """The first step of making a batch: what needs the model."""

    @abstractmethod
    def write(self, captured: Captured, out: Path) -> BatchRecord:
        """The second step: write the batch's files into the folder `out`, noted in the record that is returned. It may be taken in another
        thread while the next batch is captured."""

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        """The files of batches that `finish` reads: they may lie elsewhere by then, and are brought back."""
        return ()

    @abstractmethod
    def finish(self, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], out: Path) -> None:
        """Write everything that is about the whole output, the configuration's `last_file` last. rows, rejected: of all batches."""

    def read_result(self, out: Path) -> dict[str, Any]:
        """What `RunResult` tells of the finished output in a folder, besides the run itself."""
        return {"rows": native.read_rows(out)}


AnyJob = Job[Any, Any, Any]
Made = tuple[int, BatchRecord]
"""A batch that is made and not yet committed: its number, and what it left."""


class Engine(AbstractContextManager["Engine"]):
    """A way to make many batches. Entered before anything else is asked of it; a run of which all is done does not enter it."""

    here = True
    """Whether this machine alone makes the batches: the devices that it has are those there are."""

    def __exit__(self, *_: object) -> None:
        return None

    def resolve(self, config: Config) -> Config:
        """The configuration with the device, number format and, on the cpu, threads that batches will be made with."""
        return resolve_device(config)

    def load(self, job: AnyJob, place: Place) -> str:
        """Be ready to make batches. Returns the fingerprint of the model's weights."""
        return job.load()

    @abstractmethod
    def map(self, job: AnyJob, place: Place, numbers: Sequence[int], say: Say) -> Generator[Made, None, None]:
        """Make batches, and give them as they are made, their files sent and their seconds in the job's timer."""


@dataclass(frozen=True)
class Local(Engine):
    """This process makes all batches, one after the other.

    ahead: how many batches may wait for their masks and files, made in another thread, while the next is captured; each keeps its maps, or
    its photographs. None: one on a GPU, which then never waits for a disk; on a CPU none, where both are done by the same cores.
    """

    ahead: int | None = None

    def map(self, job: AnyJob, place: Place, numbers: Sequence[int], say: Say) -> Generator[Made, None, None]:
        device = job.config.device or "cpu"
        ahead = self.ahead if self.ahead is not None else int(device != "cpu")
        cuda = _cuda(device)
        # On CUDA the thread has a stream of its own, or its work would wait for what is captured meanwhile.
        initializer = (lambda: cuda.set_stream(cuda.Stream(device))) if cuda else None
        thread = ThreadPoolExecutor(1, thread_name_prefix="writing", initializer=initializer)
        waiting: deque[tuple[int, Future[BatchRecord]]] = deque()
        try:
            for number in numbers:
                batch = job.batches[number]
                say(job.describe(batch))
                if not ahead:
                    yield number, write_batch(job, place, job.capture(batch))
                    continue
                for _, record in waiting:
                    if record.done():
                        record.result()  # raises what it raised, before more is captured for it
                captured = job.capture(batch)
                ready = cuda.current_stream(device).record_event() if cuda else None
                waiting.append((number, thread.submit(write_batch, job, place, captured, ready)))
                del captured  # it is the thread's to forget
                if len(waiting) > ahead:
                    earlier, record = waiting.popleft()
                    yield earlier, record.result()
            for number, record in waiting:
                yield number, record.result()
        finally:
            thread.shutdown(cancel_futures=True)  # what is being written is finished; what waits is not begun


def _cuda(device: str) -> Any:
    """torch.cuda for a device of it; None for others, and where it is another machine's, for which somebody draws in a way of their own."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda if torch.cuda.is_available() else None


def write_batch(job: AnyJob, place: Place, captured: Any, ready: Any = None) -> BatchRecord:
    """The second step of a batch, and its files sent. ready: the moment on the device at which what was captured is there."""
    if ready is not None:
        ready.wait()
    record = job.write(captured, place.folder)
    with job.timer("writing"):
        place.send(record.files)
    return record


@dataclass(frozen=True)
class Processes(Engine):
    """Several processes of this machine make the batches of a job that has no model; they start with the first batch and end with the run.

    A script needs the usual `if __name__ == "__main__"`. Raises UserError for less than one.
    """

    workers: int

    def __post_init__(self) -> None:
        check_workers(self.workers)

    def map(self, job: AnyJob, place: Place, numbers: Sequence[int], say: Say) -> Generator[Made, None, None]:
        with in_order(partial(_in_process, job, place.folder), self.workers) as made:
            results = iter(made(numbers))
            for number in numbers:
                say(job.describe(job.batches[number]))
                record, seconds = next(results)
                job.timer.add(seconds)
                with job.timer("writing"):
                    place.send(record.files)
                yield number, record


def _in_process(job: AnyJob, folder: Path, number: int) -> tuple[BatchRecord, Mapping[str, float]]:
    record = job.write(job.capture(job.batches[number]), folder)
    return record, job.timer.take()


def run(job: AnyJob, out: Out | str | Place, *, engine: Engine | None = None, progress: Progress | None = None) -> RunResult:
    """Make what is missing of a job in `out`: a folder, or a URL of a store such as s3://bucket/name.

    A run that was interrupted at any moment is continued by calling this again with the same arguments, and the result has the
    same bytes as an uninterrupted one's, whichever engine made which part of it. A finished output is left as it is, and one whose
    configuration asked for fewer samples of the same series grows.

    Raises UserError for whatever a user can put right: the folder holds something else, an output of another configuration or
    another run at work; and what the job raises. OSError when the disk fills up.
    """
    with open_place(out) as place:
        done = _make(job, place, engine or Local(), progress or (lambda done, total, what: None))
        return RunResult(out=place.out, done=done, seconds=job.timer.seconds, **job.read_result(place.folder))


def plan(job: AnyJob, out: Out | str, *, engine: Engine | None = None) -> str:
    """What `run` would do, as `--dry-run` says it. Writes nothing and loads no model. Raises UserError where the run would at once."""
    from .plan import check_loading

    with open_place(out) as place:
        state, job.config = place.look_into(job.config)
        job.check()
        if state == "shorter":
            check_growth(place.folder)
        if state != "complete" and job.on_device:
            check_loading(job.config, job.device, job.offload, engine is None or engine.here)
        lines = [f"{place.out} is complete already: nothing would be done."] if state == "complete" else []
        verb = {"unfinished": "continue", "shorter": "extend to"}.get(state, "make")
        return "\n".join([*lines, *job.plan(place, verb)])


def _make(job: AnyJob, place: Place, engine: Engine, report: Progress) -> int:
    """Make what is missing; returns how many items this run did."""
    state, job.config = place.look_into(job.config)
    if state == "complete" and not place.has_records():
        return 0
    with place.locked():
        state, job.config = place.look_into(job.config)  # again, now that no other run can change it
        if state == "complete":
            place.remove_records()
            return 0
        if state == "shorter":
            grow(place, job.config)
        with engine:
            if state == "new" and job.on_device:
                job.config = engine.resolve(job.config)
            with cpu_threads(job.config.threads):
                return _fill(job, place, engine, state == "new", report)


def _fill(job: AnyJob, place: Place, engine: Engine, new: bool, report: Progress) -> int:
    """Make the batches that are not there yet and finish. The output is locked, the configuration resolved and checked against it.

    new: nothing in the output is to be continued.
    """
    job.resume(place.folder)
    config, total = job.config, sum(map(len, job.batches.values()))
    records = {number: None if new else place.record(number) for number in job.batches}
    done = before = sum(len(job.batches[number]) for number, record in records.items() if record)
    weights = ""
    if None in records.values():
        report(done, total, f"loading {config.model_label}")
        with job.timer("loading"):
            weights = engine.load(job, place)
    if new:
        place.clear()
        # First of all what tells this folder from a foreign one, should the next moment be the last.
        write_atomic(place.folder / native.CONFIG, config.to_toml(weights).encode("utf-8"))
        place.send([native.CONFIG])
    else:
        place.check_weights(config.model, weights)
    place.make_folders(job.folders)

    def say(what: str) -> None:
        report(done, total, what)

    say("")
    while missing := [number for number, record in records.items() if record is None]:
        with closing(engine.map(job, place, missing, say)) as made:  # whatever happens, nobody writes when the output is unlocked
            for number, record in made:
                records[number] = record
                with job.timer("writing"):
                    place.commit(number, record)
                done += len(job.batches[number])
                say("")
        for number in place.lost(records):
            records[number] = None
            done -= len(job.batches[number])
    say("finishing")
    place.clear_leftovers()
    finished = [record for record in records.values() if record]
    place.bring(job.read_by_finish(finished))
    job.finish([row for record in finished for row in record.rows], [row for record in finished for row in record.rejected], place.folder)
    place.complete(config.last_file)
    return done - before
