"""Calls one function with many arguments, in this process or in several on this machine. Results come in the order of the arguments.

concurrent.futures is not used, because its threads and queues wait for interrupted workers, some of them forever. Here each worker has its
own pipe, and all workers are killed when the work ends, for whatever reason. They only compute, or write files that are complete or absent.
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
"""Chunks queued per process: enough that no process waits, few enough to limit memory."""


def check_workers(count: int) -> None:
    """Raise UserError for fewer than one process."""
    if count < 1:
        raise UserError("workers", f"{count} must be at least 1")


def in_threads(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], follow: Callable[[Sequence[Argument]], Iterable[Argument]] = iter
) -> Iterator[Result]:
    """`map` in at most eight threads, for work that releases Python's lock, such as Pillow's, zlib's and hashlib's. follow: wraps the
    arguments, to show progress."""
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
    """A `map` for one function: in this process, or in several `workers`, which start with the first arguments and end with the block.

    With several, the function, its arguments and its results must be picklable. chunk: the number of arguments sent together; use more for
    a quick function. Raises UserError if `workers` is below 1 or a worker dies, and whatever the function raises.
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
    """Arguments that are processed together; once done, their results, up to an exception if there was one."""

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
            resource_tracker.ensure_running()  # otherwise `process.start()` starts it, which unblocks interrupts
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems without signal masks
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
    """Receive chunks immediately, so that the sender never waits for the computation. When the parent process ends, the pipe closes, and
    this process ends, too."""
    while True:
        try:
            chunks.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(1)
