"""Calls one function with many arguments, in this process or in several on this machine. Results come in the order of
the arguments.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from .errors import UserError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

Progress = Callable[[int, int, str], None]
"""Progress of long work: called with (images done, total images, current activity) at the start and after every batch,
by some work also before it."""

AHEAD = 4
"""Chunks queued per process: enough that no process waits, few enough to limit memory."""

GPU_ALONE = threading.Lock()
"""Held by a thread while no other of this process may use the GPU: where a CUDA graph is recorded, and where masks are
made beside the drawing."""


def check_workers(count: int) -> None:
    """Raise UserError for fewer than one process."""
    if count < 1:
        raise UserError("workers", f"{count} must be at least 1")


Follow = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps what is worked on, to show progress."""


def in_threads(
    function: Callable[[Argument], Result],
    arguments: Sequence[Argument],
    follow: Follow = iter,
) -> Iterator[Result]:
    """`map` in at most eight threads, for work that releases Python's lock. follow: wraps the arguments, to show
    progress."""
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
    """A `map` for one function: in this process, or in several `workers`, which end with the block; then the function,
    its arguments and its results must be picklable. chunk: the number of arguments sent together. Raises UserError if
    `workers` is below 1 or a worker dies, and whatever the function raises.
    """
    check_workers(workers)
    if workers == 1:
        yield partial(map, function)
        return
    # Not a fork: this process may have threads, such as a progress bar's.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (function,))
    try:
        yield partial(_results, pool, AHEAD * workers, chunk)
        pool.shutdown(cancel_futures=True)  # here, so that a Ctrl-C meanwhile ends the processes, too
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process ended unexpectedly: out of memory, or a script without `if __name__ == '__main__'`; "
            "run the same command again, with fewer workers if need be"
        ) from error
    except BaseException:
        for process in list((pool._processes or {}).values()):  # Python 3.14's kill_workers
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _results(pool: ProcessPoolExecutor, ahead: int, chunk: int, arguments: Iterable[Any]) -> Iterator[Any]:
    left, waiting = iter(arguments), deque[Future[list[Any]]]()
    parts = iter(lambda: list(islice(left, chunk)), [])
    while True:
        for part in islice(parts, ahead - len(waiting)):
            with _uninterrupted():  # starts processes
                waiting.append(pool.submit(_call, part))
        if not waiting:
            return
        yield from waiting.popleft().result()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started in the block ignore Ctrl-C, also while they import; in this process it takes effect at its
    end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_FUNCTION: list[Callable[[Any], Any]] = []
"""In a worker's process: its function, which is sent once."""


def _begin(function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems without signal masks
    _FUNCTION.append(function)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """When the process that started this one is killed; otherwise this one would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os._exit(1)


def _call(arguments: list[Any]) -> list[Any]:
    return [_FUNCTION[0](argument) for argument in arguments]
