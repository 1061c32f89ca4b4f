"""`Engine`: makes batches of a job in this process. cluster.py has one that makes them on several machines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..config.settings import RunConfig
from .job import AnyJob, Made, Ready, Timer
from .output import BatchRecord, Loaded
from .plan import Plan

Say = Callable[[str], None]
"""A function that shows a text about the current activity."""
FinishedBatch = tuple[int, BatchRecord]
"""(number, record) of a batch whose files are written. loop.py then commits it."""


class Makers(NamedTuple):
    """What an engine has loaded to make a job's batches."""

    loaded: Loaded
    plan: Plan | None
    """The plan of the loaded model."""
    make: Callable[[AnyJob, Path, Sequence[int], Say], Generator[FinishedBatch, None, None]]
    """(job, out, numbers, say): makes the batches with these numbers. Yields each after its files are written into
    `out` and its seconds are added to the job's timer."""


class Engine(AbstractContextManager["Engine"]):
    """Makes batches in this process. A subclass makes them elsewhere (`cluster.Ray`).

    writes_in_thread: whether a second thread makes a batch's masks and files while this thread captures the next batch.
    None: only on CUDA, where the GPU then never waits for the disk. On a CPU, the two threads would share the same
    cores; on Metal, they crash.
    """

    def __init__(self, writes_in_thread: bool | None = None) -> None:
        self.writes_in_thread = writes_in_thread

    def __exit__(self, *_: object) -> None:
        return None

    def check_device(self, job: AnyJob) -> None:
        """Raise UserError if the job needs a device that is not where this engine makes the batches. Loads no model,
        and imports torch only to look for another device than the CPU."""
        if job.runs_model and job.runs_on not in (None, "cpu"):
            from ..devices import check_device  # imports torch

            check_device(job.runs_on)

    def resolve(self, job: AnyJob) -> RunConfig:
        """The job's configuration with the device, number format and threads with which this engine makes the
        batches."""
        return job.resolved()

    def load(self, job: AnyJob) -> Makers:
        """Load the model for making batches."""
        ready = job.load()
        return Makers(ready.loaded, ready.plan, partial(self._make, ready))

    def _make(
        self, ready: Ready, job: AnyJob, out: Path, numbers: Sequence[int], say: Say
    ) -> Generator[FinishedBatch, None, None]:
        device = job.runs_on or "cpu"
        ready = replace(ready, say=say)
        on_cuda = device.startswith("cuda")
        in_thread = self.writes_in_thread
        if in_thread is None:
            in_thread = on_cuda
        if in_thread:
            if on_cuda:
                say("the first batch also compiles kernels")
            yield from make_overlapped(job, ready, out, numbers, device)
        else:
            for number in numbers:
                yield number, job.make(ready, job.batches[number]).write(out, job.timer)


def make_overlapped(
    job: AnyJob, ready: Ready, out: Path, numbers: Sequence[int], device: str
) -> Generator[FinishedBatch, None, None]:
    """Make the batches with these numbers, as `Makers.make` does; a thread writes each batch while this thread makes
    the next. At the end, also after an error, the thread finishes the batch that it is writing."""
    import torch

    cuda = None
    if device.startswith("cuda") and torch.cuda.is_available():  # a user's `draw` may use the GPU of another machine
        cuda = torch.cuda

    def begin_thread() -> None:
        if cuda:  # on a stream of its own, so that its work does not wait for the network's work on the next batch
            cuda.set_stream(cuda.Stream(device))

    writing: list[tuple[int, Future[BatchRecord]]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="writing", initializer=begin_thread) as thread:
        for number in numbers:
            # The batch before stays in memory until this one is made, even if it is written already. So if two
            # batches fit once, they always fit, and do not fail later by chance.
            made = job.make(ready, job.batches[number])
            event = cuda and cuda.current_stream(device).record_event()
            writing.append((number, thread.submit(write_ready, made, out, job.timer, event)))
            if len(writing) > 1:
                before, written = writing.pop(0)
                yield before, written.result()
        for last, written in writing:
            yield last, written.result()


def write_ready(made: Made, out: Path, timer: Timer, event: Any) -> BatchRecord:
    """Write a batch, in the thread for writing. Returns its record. timer: the job's. event: a CUDA event after which
    the batch's tensors may be read; None: they may be read at once."""
    if event is not None:
        event.wait()
    return made.write(out, timer)
