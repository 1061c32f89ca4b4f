"""How a long command runs on one machine: batch by batch into a folder, continuing where a killed run ended.

A command is a `Job`: what its batches are, how one is done, and what is written when all are. The engine decides the rest, the same
for every command: who may write to the folder, which batches are finished already, what is loaded, reported and timed.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from .base_config import Config, RunConfig, resolve_device
from .dataset import native
from .run_folder import (
    BatchRecord,
    check_weights,
    discard_unfinished,
    has_records,
    look_into,
    make_room,
    open_folder,
    read_record,
    remove_records,
    write_record,
)

Progress = Callable[[int, int, str], None]
"""Called with (images done, images in all, what is going on): once at the start, then before and after every batch."""

Item = TypeVar("Item")


@dataclass
class Timer:
    """Seconds that the parts of a run took, by their names."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start


class Job(ABC, Generic[Item]):
    """One command's work. A batch must follow from the configuration and its number alone, never from what is already there."""

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
        """Do a batch: write its files, noted in the record that is returned; the engine commits it."""

    @abstractmethod
    def finish(self, records: Sequence[BatchRecord]) -> None:
        """Write everything that is about the whole output, the configuration's `last_file` last."""


def run_job(
    config: Config,
    out: Path,
    start: Callable[[Config], Job[Any]],
    *,
    progress: Progress | None = None,
    resolve: bool = True,
) -> tuple[int, Mapping[str, float]]:
    """Do what is not yet done of a job in the folder `out`; returns how many items this run did, and its timer's seconds.

    A run that was interrupted at any moment is continued by calling this again with the same arguments, and the result has the
    same bytes as an uninterrupted one's. A finished output is left as it is.

    start: makes the job from the configuration, whose device is resolved by then unless `resolve` is False.

    Raises UserError for whatever a user can put right: the folder holds something else, an output of another configuration or
    another run at work; and what the job raises. OSError when the disk fills up.
    """
    report = progress or (lambda done, total, what: None)
    state, config = look_into(out, config)
    if state == "complete" and not has_records(out):
        return 0, {}
    with open_folder(out):
        state, config = look_into(out, config)  # again, now that no other run can change it
        if state == "complete":
            remove_records(out)
            return 0, {}
        if state == "new" and resolve:
            config = resolve_device(config)
        with cpu_threads(config.threads):
            job = start(config)
            return _run(job, config, out, state == "new", report), job.timer.seconds


def _run(job: Job[Any], config: RunConfig, out: Path, new: bool, report: Progress) -> int:
    """Do the batches that are not there yet and finish. The folder is locked, `config` resolved and checked against it.

    new: nothing in the folder is to be continued.
    """
    total = sum(map(len, job.batches))
    records = [None if new else read_record(out, number) for number in range(len(job.batches))]
    done = sum(len(batch) for batch, record in zip(job.batches, records, strict=True) if record)
    before, weights = done, ""
    if None in records:
        report(done, total, f"loading {config.model_label}")
        with job.timer("loading"):
            weights = job.load()
    if new:
        discard_unfinished(out)
        # First of all what tells this folder from a foreign one, should the next moment be the last.
        native.write_atomic(out / native.CONFIG, config.to_toml(weights).encode("utf-8"))
    else:
        check_weights(out, config.model, weights)
    make_room(out, list(job.folders))
    report(done, total, "")
    for number, batch in enumerate(job.batches):
        if records[number] is None:
            report(done, total, job.describe(batch))
            records[number] = record = job.do(batch)
            with job.timer("writing"):
                write_record(out, number, record)
            done += len(batch)
            report(done, total, "")
    report(done, total, "finishing")
    job.finish([record for record in records if record])
    remove_records(out)
    return done - before


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Have torch use `count` threads meanwhile: sums are split among them, so that their number shows in the last bits. None: as it is."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
