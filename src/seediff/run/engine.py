"""Runs a long command batch by batch into an output folder or store, and continues where a killed run ended.

A command is a `Job`: what its batches are, how one is done, and what is written when all are. An `Engine` says who does the batches:
this process (`Local`), or many at once (engine_ray.py). `run_job` decides the rest, the same for every command and every engine: who may
write to the output, which batches are finished already, what is loaded, committed, reported and timed.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..config.base import Config, RunConfig, resolve_device
from ..dataset import native
from ..dataset.batches import (
    DATA,
    BatchRecord,
    check_weights,
    discard_unfinished,
    has_records,
    look_into,
    make_room,
    read_record,
    record_path,
    remove_records,
    write_record,
)
from ..devices import cpu_threads
from ..files.addresses import Out
from ..files.outputs import clear_leftovers, write_atomic
from ..workers import Progress
from .beside import Beside
from .place import Place

Item = TypeVar("Item")


@dataclass
class Timer:
    """Seconds that the parts of a run took, by their names; of several threads together, if they are."""

    seconds: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add({what: time.perf_counter() - start})

    def add(self, seconds: Mapping[str, float]) -> None:
        with self.lock:
            for what, more in seconds.items():
                self.seconds[what] = self.seconds.get(what, 0.0) + more

    def take(self) -> dict[str, float]:
        """The seconds so far; it begins anew."""
        with self.lock:
            taken, self.seconds = self.seconds, {}
        return taken


class Job(ABC, Generic[Item]):
    """One command's work. A batch must follow from the configuration and its number alone, never from what is already there.

    Every process that does batches makes a job of its own and loads it; the one that commands them makes one without loading it.
    """

    batches: Sequence[Sequence[Item]]
    """All items by batch, in order."""
    folders: Sequence[str]
    """Folders of the output that files go to."""
    timer: Timer

    @abstractmethod
    def load(self) -> str:
        """Load the model and check all that could fail later; called once, and only when a batch is to be done. Returns the
        fingerprint of its weights, "" where there is none."""

    @abstractmethod
    def describe(self, batch: Sequence[Item]) -> str:
        """What the progress bar says during a batch."""

    @abstractmethod
    def do(self, batch: Sequence[Item]) -> BatchRecord:
        """Do a batch: write its files, noted in the record that is returned; `run_job` commits it."""

    def begin(self, batch: Sequence[Item]) -> Callable[[], BatchRecord]:
        """Do what of a batch needs the model, and return what does the rest of it: `do` in two steps, of which the second may be taken in
        another thread while the next batch is begun."""
        record = self.do(batch)
        return lambda: record

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        """The files of batches that `finish` reads: they may lie elsewhere by then, and are brought back."""
        return ()

    @abstractmethod
    def finish(self, records: Sequence[BatchRecord]) -> None:
        """Write everything that is about the whole output, the configuration's `last_file` last."""


@dataclass(frozen=True)
class Task(Generic[Config]):
    """What a process needs to work at a run. start: makes the job from the configuration and the folder that it writes to."""

    config: Config
    out: Out
    start: Callable[[Config, Path], Job[Any]]


@dataclass(frozen=True)
class Done:
    """A batch that is done and not yet committed. seconds: of the job's timer."""

    number: int
    record: BatchRecord
    seconds: Mapping[str, float]


class Worker:
    """One process that does batches."""

    def __init__(self, job: Job[Any], place: Place) -> None:
        self.job, self.place = job, place

    def load(self) -> str:
        return self.job.load()

    def do(self, number: int) -> Done:
        return self.begin(number)()

    def begin(self, number: int) -> Callable[[], Done]:
        """`Job.begin` of a batch."""
        rest = self.job.begin(self.job.batches[number])

        def finish() -> Done:
            record = rest()
            with self.job.timer("writing"):
                self.place.send(record.files)
            return Done(number, record, self.job.timer.take())

        return finish


class Crew(ABC):
    """All who do batches of a run."""

    @abstractmethod
    def load(self) -> str:
        """Be ready for batches. Returns the fingerprint of the model's weights."""

    @abstractmethod
    def do(self, numbers: Sequence[int], say: Callable[[str], None]) -> Generator[Done, None, None]:
        """Do batches, and give them back as they are done. say: is told what is going on."""


class Engine(AbstractContextManager["Engine"]):
    """Who does the batches of a run. Entered before `resolve` and `crew`; a run of which all is done does not enter it."""

    here = True
    """Whether this machine alone does the batches: the devices that it has are those there are."""

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    def resolve(self, config: Config) -> Config:
        """The configuration with the device, number format and, on the cpu, threads that batches will be done with."""

    @abstractmethod
    def crew(self, task: Task[Any], job: Job[Any], place: Place) -> AbstractContextManager[Crew]:
        """Those who do the batches of `task`. job, place: this process's own."""


@dataclass(frozen=True)
class Local(Engine):
    """This process does all batches, one after the other.

    ahead: how many batches may wait for their masks and files, made beside, while the next is drawn; each keeps its maps, or its
    photographs. None: one on a GPU, which then never waits for a disk; on a CPU none, where drawing and masks are done by the same cores.
    """

    ahead: int | None = None

    def resolve(self, config: Config) -> Config:
        return resolve_device(config)

    @contextmanager
    def crew(self, task: Task[Any], job: Job[Any], place: Place) -> Iterator[Crew]:
        device = task.config.device or "cpu"
        ahead = self.ahead if self.ahead is not None else int(device != "cpu")
        with cpu_threads(task.config.threads):
            yield _Alone(Worker(job, place), ahead, device)


class _Alone(Crew):
    def __init__(self, worker: Worker, ahead: int, device: str) -> None:
        self.worker, self.ahead, self.device = worker, ahead, device

    def load(self) -> str:
        return self.worker.load()

    def do(self, numbers: Sequence[int], say: Callable[[str], None]) -> Generator[Done, None, None]:
        with Beside(self.ahead, self.device) as beside:
            for number in numbers:
                say(self.worker.job.describe(self.worker.job.batches[number]))
                beside.check()
                yield from beside.give(self.worker.begin(number))
            yield from beside.rest()


def run_job(
    config: Config,
    place: Place,
    start: Callable[[Config, Path], Job[Any]],
    *,
    engine: Engine | None = None,
    progress: Progress | None = None,
    resolve: bool = True,
) -> tuple[int, Mapping[str, float]]:
    """Do what is not yet done of a job in the output `place`; returns how many items this run did, and the seconds of its parts (of
    all processes together).

    A run that was interrupted at any moment is continued by calling this again with the same arguments, and the result has the
    same bytes as an uninterrupted one's, whichever engine did which part of it. A finished output is left as it is.

    start: makes the job from the configuration, whose device is resolved by then unless `resolve` is False, and the folder that it
    writes to. It must be picklable for engines of many processes.

    Raises UserError for whatever a user can put right: the folder holds something else, an output of another configuration or
    another run at work; and what the job raises. OSError when the disk fills up.
    """
    report = progress or (lambda done, total, what: None)
    engine = engine or Local()
    place.fetch(config.last_file)
    state, config = look_into(place.folder, config)
    if state == "complete" and not has_records(place.folder):
        return 0, {}
    with place.locked():
        state, config = look_into(place.folder, config)  # again, now that no other run can change it
        if state == "complete":
            remove_records(place.folder)
            place.clear_records()
            return 0, {}
        with engine:
            if state == "new" and resolve:
                config = engine.resolve(config)
            job, timer = start(config, place.folder), Timer()
            with engine.crew(Task(config, place.out, start), job, place) as crew:
                return _run(job, crew, config, place, state == "new", report, timer), timer.seconds


def _run(job: Job[Any], crew: Crew, config: RunConfig, place: Place, new: bool, report: Progress, timer: Timer) -> int:
    """Do the batches that are not there yet and finish. The output is locked, `config` resolved and checked against it.

    new: nothing in the output is to be continued.
    """
    total = sum(map(len, job.batches))
    records = [None if new else read_record(place.folder, number, place.holds) for number in range(len(job.batches))]
    done = before = sum(len(batch) for batch, record in zip(job.batches, records, strict=True) if record)
    weights = ""
    if None in records:
        report(done, total, f"loading {config.model_label}")
        with timer("loading"):
            weights = crew.load()
    if new:
        discard_unfinished(place.folder)
        place.clear()
        # First of all what tells this folder from a foreign one, should the next moment be the last.
        write_atomic(place.folder / native.CONFIG, config.to_toml(weights).encode("utf-8"))
        place.send([native.CONFIG])
    else:
        check_weights(place.folder, config.model, weights)
    make_room(place.folder, job.folders)
    place.begin()

    def say(what: str) -> None:
        report(done, total, what)

    say("")
    while todo := [number for number, record in enumerate(records) if record is None]:
        with closing(crew.do(todo, say)) as results:  # whatever happens, nobody writes any more when the output is unlocked
            for one in results:
                records[one.number] = one.record
                timer.add(one.seconds)
                with timer("writing"):
                    write_record(place.folder, one.number, one.record)
                    place.send([record_path(one.number)])
                done += len(job.batches[one.number])
                say("")
        for number in place.lost(records):
            records[number] = None
            done -= len(job.batches[number])
    say("finishing")
    clear_leftovers(place.folder, DATA)  # of workers that were lost while they wrote; nothing is under way any more
    finished = [record for record in records if record]
    place.bring(job.read_by_finish(finished))
    job.finish(finished)
    place.send_finished(config.last_file)
    remove_records(place.folder)
    place.clear_records()
    return done - before
