"""One function of many arguments, in this process or in several of this machine; the results come in the order of the arguments.

Processes are not those of concurrent.futures, whose threads and queues wait for workers that were interrupted, some of them for ever. Here
each has a pipe of its own, and when the work ends, in whatever way, the workers are killed: they only compute.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from .errors import UserError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

Progress = Callable[[int, int, str], None]
"""Of long work: called with (images done, images in all, what is going on) at the start, then before and after every batch."""

AHEAD = 4
"""Chunks that each process has before it, so that none waits, and memory holds no more than these."""


def check_workers(count: int) -> None:
    """Raise UserError for less than one process."""
    if count < 1:
        raise UserError(f"workers = {count} must be at least 1")


def in_threads(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], follow: Callable[[Sequence[Argument]], Iterable[Argument]] = iter
) -> Iterator[Result]:
    """`map` in eight threads at most, for work that lets others run meanwhile: Pillow's, zlib's, hashlib's. follow: wraps the arguments, to
    show progress."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(function, arguments)
        try:
            for _ in follow(arguments):
                yield next(results)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def in_order(
    function: Callable[[Argument], Result], workers: int, *, chunk: int = 1
) -> Iterator[Callable[[Iterable[Argument]], Iterable[Result]]]:
    """`map` of this function alone, in this process or in `workers` others, which start with the first argument and end with the block.

    For others, the function, its arguments and results must be picklable. chunk: how many arguments are sent together: more for a function
    that is soon done. Raises UserError when `workers` is below 1 or one of them dies, and what the function raises.
    """
    check_workers(workers)
    if workers == 1:
        yield partial(map, function)
        return
    team = _Team(function, workers)
    try:
        yield partial(_results, team, AHEAD * workers, chunk)
    finally:
        team.end()


@dataclass
class _Chunk:
    """Arguments that are done together; then `results`, or what was raised."""

    arguments: list[Any]
    done: bool = False
    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None


@dataclass
class _Member:
    """A worker's process, its pipe, and the chunks it was given, which it does one after the other."""

    process: Any
    pipe: Connection
    given: deque[_Chunk] = field(default_factory=deque)


class _Team:
    def __init__(self, function: Callable[[Any], Any], workers: int) -> None:
        self.function, self.workers = function, workers
        self.members: list[_Member] = []

    def give(self, chunk: _Chunk) -> None:
        """Have somebody do a chunk: a new worker while there are too few, else the one with the least to do."""
        if len(self.members) < self.workers:
            self._start()
        member = min(self.members, key=lambda member: len(member.given))
        member.given.append(chunk)
        try:
            member.pipe.send(chunk.arguments)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _died() from error

    def wait_for(self, chunk: _Chunk) -> None:
        """Take results until this chunk's are there. Raises UserError when a worker has died."""
        while not chunk.done:
            ready = wait([member.pipe for member in self.members])
            for member in self.members:
                if member.pipe in ready:
                    try:
                        results, error = member.pipe.recv()
                    except (EOFError, OSError) as ended:
                        raise _died() from ended
                    first = member.given.popleft()
                    first.done, first.results, first.error = True, results, error

    def end(self) -> None:
        for member in self.members:
            with suppress(OSError, ValueError):
                member.process.kill()
        for member in self.members:
            member.process.join()
            member.pipe.close()

    def _start(self) -> None:
        # Not a fork: this process may have threads, such as a progress bar's.
        spawn = multiprocessing.get_context("spawn")
        parent_end, child_end = spawn.Pipe()
        process = spawn.Process(target=_work, args=(self.function, child_end), daemon=True)
        if os.name == "posix":
            resource_tracker.ensure_running()  # else started by what follows, which would let interrupts through again
        with _uninterrupted():
            process.start()
            self.members.append(_Member(process, parent_end))
        child_end.close()


def _died() -> UserError:
    return UserError(
        "a worker process ended unexpectedly: out of memory, or in a script no `if __name__ == '__main__'`; "
        "run the same command again, with fewer workers if need be"
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started meanwhile are never interrupted: Ctrl-C reaches every process of a terminal, also one that still imports
    and has not yet said that it leaves that to the first. A Ctrl-C of that moment comes to this process at the end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _results(team: _Team, ahead: int, chunk: int, arguments: Iterable[Any]) -> Iterator[Any]:
    left, waiting = iter(arguments), deque[_Chunk]()
    while True:
        while len(waiting) < ahead and (next_arguments := list(islice(left, chunk))):
            waiting.append(_Chunk(next_arguments))
            team.give(waiting[-1])
        if not waiting:
            return
        first = waiting.popleft()
        team.wait_for(first)
        yield from first.results
        if first.error is not None:
            raise first.error


def _work(function: Callable[[Any], Any], pipe: Connection) -> None:
    """A worker's process: chunks in, (results, what was raised after them or None) out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of those who have no masks
    chunks: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, chunks), daemon=True).start()
    while True:
        results: list[Any] = []
        error: BaseException | None = None
        try:
            for argument in chunks.get():
                results.append(function(argument))
        except Exception as raised:
            error = raised
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send((results, error))


def _receive(pipe: Connection, chunks: queue.SimpleQueue[list[Any]]) -> None:
    """Take chunks as they come, so that who sends them never waits for who computes. The pipe ends with the process that started this one,
    however that ended: then nobody wants the rest."""
    while True:
        try:
            chunks.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(1)
