"""`Engine`: what makes the batches of a job, in this process. cluster.py has one for several machines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..config.settings import RunConfig
from ..workers import GPU_ALONE
from .job import AnyJob
from .output import BatchRecord

Say = Callable[[str], None]
"""Called with a text about the current activity."""
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
        on_cuda = device.startswith("cuda")
        in_thread = self.writes_in_thread
        if in_thread is None:
            in_thread = on_cuda
        if in_thread:
            if on_cuda:
                say("the first batch also compiles kernels")
            yield from make_overlapped(job, out, numbers, device)
        else:
            for number in numbers:
                yield number, job.make_batch(number, out)


def make_overlapped(
    job: AnyJob, out: Path, numbers: Sequence[int], device: str
) -> Generator[FinishedBatch, None, None]:
    """`Engine.map`, with a thread that writes a batch while the next one is captured. At the end, also after an error,
    the batch that is being written is finished."""
    import torch

    cuda = None
    if device.startswith("cuda") and torch.cuda.is_available():  # a `draw` of the user's may use another machine's
        cuda = torch.cuda

    def begin_thread() -> None:
        if cuda:  # on its own stream; otherwise its work would wait for the capture that runs meanwhile
            cuda.set_stream(cuda.Stream(device))

    writing: list[tuple[int, Future[BatchRecord]]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="writing", initializer=begin_thread) as thread:
        for number in numbers:
            # The batch before stays in memory meanwhile, however fast it is written: what fits once, always fits.
            captured = job.capture(job.batches[number])
            ready = cuda and cuda.current_stream(device).record_event()
            writing.append((number, thread.submit(write_ready, job, captured, out, ready)))
            if len(writing) > 1:
                before, written = writing.pop(0)
                yield before, written.result()
        for last, written in writing:
            yield last, written.result()


def write_ready(job: AnyJob, captured: Any, out: Path, ready: Any) -> BatchRecord:
    """`Job.write` in a thread. ready: a CUDA event to wait for before captured tensors are read, or None."""
    if ready is not None:
        ready.wait()
    with GPU_ALONE:
        return job.write(captured, out)
