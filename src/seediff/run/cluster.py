"""Runs a job on several machines: each Ray task makes one batch. A process of the cluster loads the model once and
keeps it for its further batches. Ray repeats the batches of processes and machines that die.

A batch's files come back with its record, and this process writes and commits them, so no other machine needs access to
the output.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.methods import METHOD_FACTS, MethodFacts, own_methods
from ..config.settings import RunConfig
from ..devices import cpu_threads
from ..errors import Notice, UserError, first_line, foreign_errors
from ..files.outputs import write_atomic
from ..files.reading import inside
from ..workers import check_workers
from .engine import Engine, FinishedBatch, Makers, Say
from .job import AnyJob, Ready
from .output import BatchRecord, Loaded
from .plan import Plan

if TYPE_CHECKING:
    from ray import ObjectRef

ATTEMPTS = 3
"""The run gives up when this many workers have died at one batch, or while they loaded the model."""
ENVIRONMENT = {
    "RAY_task_oom_retries": str(ATTEMPTS - 1),  # otherwise Ray repeats forever a batch that fills a machine's memory
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's future default; without it Ray warns
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # otherwise Ray prints a page when a machine goes down
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Environment variables for a cluster of this machine alone: it listens on 127.0.0.1. The argument
`_node_ip_address="127.0.0.1"` is no help, because Ray replaces it by an address that other machines reach."""
STORE_BYTES = 512_000_000
"""Bytes of shared memory for finished batches, in a cluster that the run starts. Ray puts larger batches into a
file."""
WAITING = 1.0
"""While this process waits for batches, it checks for Ctrl-C every WAITING seconds."""


class Ray(Engine):
    """Makes batches with workers in a Ray cluster.

    workers: their number; None: one per GPU, or on the CPU as many as the cluster has cores for. address: the address
    of a running cluster, or "auto" for the cluster that this machine belongs to; None: the run starts a cluster on this
    machine alone. If this process is already connected to a cluster, the run uses that one. Raises UserError if Ray is
    not installed.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        super().__init__()
        if find_spec("ray") is None:
            raise UserError("engine", "ray needs a package that is not installed", 'pip install "seediff[ray]"')
        if workers is not None:
            check_workers(workers)
        self.workers = workers
        self.address = address
        self.connected = False

    def __enter__(self) -> Ray:
        for name, value in (ENVIRONMENT if self.address else ENVIRONMENT | LOOPBACK).items():
            os.environ.setdefault(name, value)
        import ray

        if ray.is_initialized():
            return self
        before = signal.getsignal(signal.SIGTERM)
        problem, fix = "ray does not start on this machine", ""
        if self.address:
            problem = f"{self.address}: no Ray cluster can be reached there"
            fix = "`ray start --head` starts one on this machine, and without an address a run starts its own"
        with foreign_errors("address" if self.address else "engine", problem, fix):
            if self.address:
                check_answers(self.address)
                ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                ray.init(
                    "local",
                    num_cpus=max(os.cpu_count() or 1, self.workers or 1),  # enough for the requested workers
                    object_store_memory=STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _system_config={"worker_niceness": 0},  # workers have this process's priority
                )
        if threading.current_thread() is threading.main_thread():  # Ray has set a handler that ends the process
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        self.connected = True
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        if self.connected:
            ray.shutdown()
            self.connected = False

    def check_device(self, job: AnyJob) -> None:
        """Accepts any device: workers may have others than this machine."""

    def resolve(self, job: AnyJob) -> RunConfig:
        """The job's configuration with the device, number format and threads of the cluster's machines, where they may
        be others than here. The device has no number, because a worker sees one GPU only."""
        from ..devices import default_device

        config = job.config
        there = resources()
        device = (config.device or ("cuda" if there["GPU"] else default_device())).split(":")[0]
        threads = config.threads
        if device == "cpu" and threads is None:
            threads = max(1, min(int(there["CPU"]) // self.workers, largest_node())) if self.workers else 1
        return replace(config, device=device).filled(dtype=job.usual_dtype(device), threads=threads)

    def share(self, config: RunConfig) -> tuple[int, dict[str, float]]:
        """(count, needs): the number of workers, and the resources that each worker takes, as options of Ray: for
        example (2, {"num_gpus": 1}). Raises UserError for cuda in a cluster without a GPU."""
        there = resources()
        if (config.device or "").startswith("cuda"):
            if not there["GPU"]:
                raise UserError("device", f"{config.device}: no machine of the Ray cluster has a GPU")
            return self.workers or int(there["GPU"]), {"num_gpus": 1}
        threads = config.threads or 1
        count = self.workers or max(1, int(there["CPU"]) // threads)
        return count, {"num_cpus": max(1, min(threads, int(there["CPU"]) // count, largest_node()))}

    def load(self, job: AnyJob) -> Makers:
        """Have a worker load the model."""
        import ray

        count, needs = self.share(job.config)
        # max_calls: without it, Ray would start a new process for every batch on a GPU.
        options = ray.remote(max_calls=0, max_retries=ATTEMPTS - 1, **needs)  # type: ignore[call-overload]
        # In a list, a task gets the reference and not the value: a process reads the value once.
        # A worker sees one GPU, whatever number the user named
        work = [ray.put(Work(replace(job, device=None), os.getcwd(), own_methods()))]
        ask = partial(options(make_batch).remote, work)
        answer = result(ask(None, 0), "while it loaded the model")
        return Makers(answer.loaded, answer.plan, partial(make_there, ask, count, answer.loaded))


def make_there(
    ask: Callable[[int, int], ObjectRef[WorkerAnswer]],
    count: int,
    here: Loaded,
    job: AnyJob,
    out: Path,
    numbers: Sequence[int],
    say: Say,
) -> Generator[FinishedBatch, None, None]:
    """Have workers make batches, as `Makers.make` does. ask: begins the batch of a number and a size. count: the number
    of workers. here: what the first of them loaded."""
    import ray

    left = deque(numbers)
    pending: dict[ObjectRef[WorkerAnswer], int] = {}
    try:
        while left or pending:
            while left and len(pending) < count:
                number = left.popleft()
                pending[ask(number, job.config.batch_size)] = number
            for reference in ray.wait(list(pending), timeout=WAITING)[0]:
                number = pending.pop(reference)
                answer = result(reference, f"in batch {number}")
                there = answer.loaded
                if here.weights != there.weights:
                    differ = f"({here.weights} and {there.weights})"
                    raise UserError(f"the machines of the cluster have different weights of the model {differ}")
                if here.gpu != there.gpu:
                    text = f"the workers have different GPUs ({here.gpu} and {there.gpu}), which round differently"
                    warnings.warn(text, Notice, stacklevel=2)
                for name, data in answer.files.items():
                    write_atomic(inside(out, name), data, durable=True)
                job.timer.add(answer.seconds)
                yield number, answer.record
    finally:
        for reference in pending:
            with suppress(Exception):
                ray.cancel(reference, force=True)


@dataclass(frozen=True)
class Work:
    """What a worker needs to make batches. Each process of the cluster reads it once."""

    job: AnyJob
    folder: str
    """The folder in which the run was started, so that relative paths mean the same."""
    methods: Mapping[str, MethodFacts]
    """The user's own mask methods."""


@dataclass(frozen=True)
class WorkerAnswer:
    """What a worker returns: a batch that it made; or, if it was only asked to load the model, `loaded` and `plan`."""

    loaded: Loaded
    record: BatchRecord = field(default_factory=BatchRecord)
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Path in the output → contents, for each file of the batch."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Part of the run → its seconds in this worker since its last answer."""
    plan: Plan | None = None
    """The plan of the loaded model."""


def result(reference: ObjectRef[WorkerAnswer], when: str) -> WorkerAnswer:
    """A worker's answer. when: what it was doing, for the message: "in batch 3". Raises the worker's UserError
    or OSError, and UserError if Ray gave up after several deaths."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, (UserError, OSError)):
            raise cause from None
        raise error from None
    except RayError as error:
        fix = "run the same command to continue, with fewer --workers if memory ran out"
        raise UserError("engine", f"Ray gave up {when} ({first_line(error)})", fix) from None


@lru_cache(1)
def load_job(reference: ObjectRef[Work]) -> tuple[AnyJob, Ready]:
    """(job, ready): a run's job, and its model loaded in this worker's process."""
    import ray

    work: Work = ray.get(reference)
    METHOD_FACTS.update(work.methods)
    with suppress(OSError):
        os.chdir(work.folder)
    with cpu_threads(work.job.config.threads):
        return work.job, work.job.load()


@lru_cache(1)
def resized(reference: ObjectRef[Work], size: int) -> AnyJob:
    """A run's job with batches of this size."""
    job, _ = load_job(reference)
    if job.config.batch_size == size:
        return job
    return job.with_config(replace(job.config, batch_size=size))


def make_batch(work: Sequence[ObjectRef[Work]], number: int | None, size: int) -> WorkerAnswer:
    """Make a batch in a worker. work: a list with only the reference to the `Work`; outside a list, Ray would replace
    the reference by the value for each batch. number: the batch's number; None: only load the model. size: the number
    of items in a batch."""
    _, ready = load_job(work[0])
    if number is None:
        return WorkerAnswer(ready.loaded, plan=ready.plan)
    job = resized(work[0], size)
    with cpu_threads(job.config.threads), tempfile.TemporaryDirectory(prefix="seediff-") as scratch:
        record = job.make(ready, job.batches[number]).write(Path(scratch), job.timer)
        files = {name: Path(scratch, name).read_bytes() for name in record.files}
        return WorkerAnswer(ready.loaded, record, files, job.timer.take())


def check_answers(address: str) -> None:
    """Raise OSError if nothing listens at the address `host:port`. (Ray itself would wait for minutes.)"""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def resources() -> Counter[str]:
    """Resource (CPU, GPU, …) → its amount on all machines of the cluster."""
    import ray

    return Counter(ray.cluster_resources())


def largest_node() -> int:
    """The number of cores of the machine with the most cores."""
    import ray

    return int(max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=1))
