"""Calls one function with many arguments, in this process or in several on this machine. Results come in the order of the arguments.

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
"""Progress of long work: called with (images done, total images, current activity) at the start, then before and after every batch."""

AHEAD = 4
"""Chunks queued per process, so that none waits; this bounds memory."""


def check_workers(count: int) -> None:
    """Raise UserError for fewer than one process."""
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
    """Arguments that are processed together; then `results`, or the exception."""

    arguments: list[Any]
    done: bool = False
    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None


@dataclass
class _Member:
    """A worker's process, its pipe, and its queue of chunks."""

    process: Any
    pipe: Connection
    given: deque[_Chunk] = field(default_factory=deque)


class _Team:
    def __init__(self, function: Callable[[Any], Any], workers: int) -> None:
        self.function, self.workers = function, workers
        self.members: list[_Member] = []

    def give(self, chunk: _Chunk) -> None:
        """Give a chunk to a new worker if there are too few, otherwise to the one with the shortest queue."""
        if len(self.members) < self.workers:
            self._start()
        member = min(self.members, key=lambda member: len(member.given))
        member.given.append(chunk)
        try:
            member.pipe.send(chunk.arguments)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _died() from error

    def wait_for(self, chunk: _Chunk) -> None:
        """Receive results until this chunk's are there. Raises UserError if a worker has died."""
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
    """Processes started in the block ignore Ctrl-C, which a terminal sends to every process, also to one that is still importing. A
    Ctrl-C during the block takes effect in this process at its end."""
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
    """A worker's main loop: receives chunks, sends (results, the exception after them or None)."""
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
    """Receive chunks at once, so that the sender never waits for the computation. The pipe closes when the parent process ends; the rest
    is then not needed."""
    while True:
        try:
            chunks.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(1)
