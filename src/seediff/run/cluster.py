"""Runs a job on several machines: Ray actors that each load the model once, and write batch after batch.

This process hands out numbers of batches and commits those that are made. A worker that dies is replaced, and its batch
goes to the next free worker.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from ..config.base import BatchConfig, Config
from ..config.methods import METHOD_FACTS, MethodFacts, own_methods
from ..devices import cpu_threads
from ..errors import Notice, UserError, first_line
from ..files.output_folders import Out, Url
from ..workers import check_workers
from .loop import AnyJob, Engine, Made, Say, loaded
from .output import BatchRecord, Place, open_place

ATTEMPTS = 3
"""The run gives up after so many deaths of workers at one batch, or while they load the model."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's future default; without it Ray warns
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # without it Ray prints a page when a machine goes down
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Has a cluster of this machine listen on 127.0.0.1 alone. Ray replaces `_node_ip_address="127.0.0.1"` by the address
that other machines reach.
"""
OWN = {"object_store_memory": 512_000_000, "include_dashboard": False, "_system_config": {"worker_niceness": 0}}
"""Of a cluster of the run's own: room for the job and records of batches, and this process's priority for workers."""
LOOK = 1.0
"""Maximum seconds until this process handles signals and reports the number of workers."""


class Ray(Engine):
    """Makes batches with workers in a Ray cluster.

    workers: their number; None: one per GPU, or on the cpu as many as the cluster has cores for. address: of a running
    cluster, "auto" for the cluster that this machine belongs to; None: a new cluster on this machine alone, for this
    run. A program that is already connected to a cluster uses that cluster. Raises UserError if Ray is not installed.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        if find_spec("ray") is None:
            raise UserError("engine", "ray needs a package that is not installed", 'pip install "seediff[ray]"')
        check_workers(1 if workers is None else workers)
        self.workers, self.address = workers, address
        self.connected = False
        self.idle: list[Any] = []
        self.pending: dict[Any, tuple[Any, int | None]] = {}
        """Ray's reference to wait for → the worker, and the number of the batch that it makes; None while it loads."""

    def __enter__(self) -> Ray:
        for name, value in (SETTINGS if self.address else SETTINGS | LOOPBACK).items():
            os.environ.setdefault(name, value)
        import ray

        if ray.is_initialized():
            return self
        # A new cluster has room for every requested worker, whatever the number of cores.
        cpus = max(os.cpu_count() or 1, self.workers or 1)
        where: dict[str, Any] = {"address": self.address} if self.address else {"address": "local", "num_cpus": cpus}
        try:
            check_answers(self.address)
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **where, **({} if self.address else OWN))
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            if self.address is None:
                raise UserError("engine", f"ray does not start on this machine ({first_line(error)})") from error
            problem = f"{self.address}: no Ray cluster can be reached there ({first_line(error)})"
            fix = "`ray start --head` starts one on this machine, and without an address a run starts its own"
            raise UserError("address", problem, fix) from error
        self.connected = True
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all workers; idle workers remove their scratch folders first."""
        import ray

        leaving = [actor.close.remote() for actor in self.idle]
        with suppress(Exception):
            ray.wait(leaving, num_returns=len(leaving), timeout=5.0)
        for actor in (*self.idle, *(actor for actor, _ in self.pending.values())):
            with suppress(Exception):
                ray.kill(actor)
        self.idle, self.pending = [], {}
        if self.connected:
            ray.shutdown()
            self.connected = False

    def resolve(self, config: Config) -> Config:
        """For the cluster's machines, which may differ from this one. A worker sees one GPU, whatever its number."""
        from ..devices import default_device
        from ..models.info import usual_dtype

        there = resources()
        device = (config.device or ("cuda" if there["GPU"] else default_device())).split(":")[0]
        threads = config.threads
        if device == "cpu" and threads is None:
            threads = max(1, min(int(there["CPU"]) // self.workers, largest_node()) if self.workers else 1)
        dtype = config.dtype or usual_dtype(config.model, device, config.base)
        return replace(config, device=device, dtype=dtype, threads=threads)

    def share(self, config: BatchConfig) -> tuple[int, dict[str, float]]:
        """The number of workers, and the resources that each takes. Raises UserError for cuda without a GPU."""
        there = resources()
        if (config.device or "").startswith("cuda"):
            if not there["GPU"]:
                raise UserError("device", f"{config.device}: no machine of the Ray cluster has a GPU")
            return self.workers or int(there["GPU"]), {"num_gpus": 1}
        threads = config.threads or 1
        count = self.workers or max(1, int(there["CPU"]) // threads)
        return count, {"num_cpus": max(1, min(threads, int(there["CPU"]) // count, largest_node()))}

    def load(self, job: AnyJob, place: Place) -> dict[str, str]:
        """Returns when the first worker is ready; the others join when the cluster has room for them."""
        if isinstance(place.out, Url) and place.out.scheme == "memory":
            raise UserError(place.out, "is the memory of one process; workers would not share it")
        import ray

        count, needs = self.share(job.config)
        self.actor = ray.remote(**needs)(_Actor)  # type: ignore[call-overload]
        self.job = ray.put((job, place.out, os.getcwd(), own_methods()))
        self.loaded: dict[str, str] | None = None
        self.lost = ""
        self.deaths: Counter[int | None] = Counter()
        self.queue: deque[int] = deque()
        for _ in range(count):
            self._hire()
        while self.loaded is None:
            self._wait()
        return self.loaded

    def map(self, job: AnyJob, place: Place, numbers: Sequence[int], say: Say) -> Generator[Made, None, None]:
        self.queue, said = deque(numbers), ""
        self._hand_out()
        while self.queue or any(number is not None for _, number in self.pending.values()):
            loading = sum(number is None for _, number in self.pending.values())
            workers = len(self.idle) + len(self.pending)
            if said != (said := f"{workers - loading} of {workers} workers{self.lost}"):
                say(said)
            if made := self._wait():
                number, record, seconds = made
                job.timer.add(seconds)
                yield number, record
                said = ""  # the caller reports its commit, which replaces this report

    def _hire(self) -> None:
        actor = self.actor.remote()
        self.pending[actor.load.remote(self.job)] = actor, None

    def _hand_out(self) -> None:
        while self.queue and self.idle:
            actor, number = self.idle.pop(), self.queue.popleft()
            self.pending[actor.make.remote(number)] = actor, number

    def _wait(self) -> tuple[int, BatchRecord, Mapping[str, float]] | None:
        """Wait for a worker, at most LOOK seconds, and return the batch that it made, with its seconds."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        answers, _ = ray.wait(list(self.pending), num_returns=1, timeout=LOOK)
        if not answers:
            return None
        actor, number = self.pending.pop(answers[0])
        try:
            result = ray.get(answers[0])
        except RayTaskError as error:
            cause = getattr(error, "cause", None)
            raise (cause if isinstance(cause, (UserError, OSError)) else error) from None
        except RayError as error:
            self.deaths[number] += 1
            machine = "its node has died" in str(error)
            why = "its machine went down" if machine else "its process died"
            self.lost = f"; a worker was lost, {why}: another takes its work"
            if self.deaths[number] >= ATTEMPTS:
                what = "while they loaded the model" if number is None else f"of batch {number}"
                why = why if machine else f"out of memory, perhaps: use fewer --workers ({first_line(error)})"
                raise UserError(f"{ATTEMPTS} workers died {what}; {why}") from None
            if number is not None:
                self.queue.appendleft(number)
                self._hand_out()  # to an idle worker: the new one may wait forever for a machine that is gone
            with suppress(Exception):
                ray.kill(actor)
            self._hire()
            return None
        self.idle.append(actor)
        self._hand_out()  # before the caller commits the batch
        if number is not None:
            return number, *result
        first = self.loaded = self.loaded or result
        differ = {what: f"({first[what]} and {one})" for what, one in result.items() if first.get(what, one) != one}
        if "weights" in differ:
            raise UserError(f"the machines of the cluster have different weights of the model {differ['weights']}")
        if "gpu" in differ:
            said = f"the workers have different GPUs {differ['gpu']}, which round differently"
            warnings.warn(said, Notice, stacklevel=2)
        self.deaths[None] = 0
        return None


class _Actor:
    """A worker's process."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def load(self, work: tuple[AnyJob, Out, str, dict[str, MethodFacts]]) -> dict[str, str]:
        """As `Engine.load`. work: the job, the output, the folder where the run was started, so
        that relative paths mean the same, and mask methods of one's own."""
        self.job, out, folder, methods = work
        METHOD_FACTS.update(methods)
        self.job.device = None  # a worker sees one GPU, whatever number the user named
        with suppress(OSError):
            os.chdir(folder)
        self.place = self.stack.enter_context(open_place(out))
        self.place.join()
        self.stack.enter_context(cpu_threads(self.job.config.threads))
        return loaded(self.job)

    def make(self, number: int) -> tuple[BatchRecord, Mapping[str, float]]:
        return self.job.make_batch(number, self.place), self.job.timer.take()

    def close(self) -> None:
        self.stack.close()


def check_answers(address: str | None) -> None:
    """Raise OSError if nothing listens at `host:port`; Ray itself would wait for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def resources() -> Counter[str]:
    """CPU, GPU, … of all machines in the cluster."""
    import ray

    return Counter(ray.cluster_resources())


def largest_node() -> int:
    """Cores of the machine that has the most."""
    import ray

    return int(max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=1))
