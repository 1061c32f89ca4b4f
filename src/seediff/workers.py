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
"""Shows the progress of long work. It is called at the start and after every batch with (number of finished images,
number of all images, what is being done)."""

AHEAD = 4
"""Number of chunks that wait for each process: enough that no process is idle, few enough to limit memory."""

GPU_ALONE = threading.Lock()
"""Held by a thread while no other thread of this process may use the GPU: while a CUDA graph is recorded, or masks are
made during the drawing."""


def check_workers(count: int) -> None:
    """Raise UserError for fewer than one process."""
    if count < 1:
        raise UserError("workers", f"{count} must be at least 1")


Follow = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps a sequence of work, to show progress: yields its items one by one."""


def in_threads(
    function: Callable[[Argument], Result],
    arguments: Sequence[Argument],
    follow: Follow = iter,
) -> Iterator[Result]:
    """Yields `function(argument)` for each argument, in order, computed in at most eight threads. It is for work that
    releases Python's lock. follow: wraps the arguments, to show progress."""
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
    """Yields a `map` for one function, which calls it in this process, or in several.

    workers: the number of processes; 1 means this process. Others end with the block, and the function, its arguments
    and its results must be picklable. chunk: the number of arguments that are sent together. Raises UserError if
    `workers` is below 1 or a process dies, and whatever the function raises."""
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
    """Processes that are started in the block ignore Ctrl-C, even while they import. In this process, a Ctrl-C takes
    effect at the end of the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_FUNCTION: list[Callable[[Any], Any]] = []
"""The function of a worker process, which is sent once."""


def _begin(function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems without signal masks
    _FUNCTION.append(function)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when the process that started it is killed. Otherwise it would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os._exit(1)


def _call(arguments: list[Any]) -> list[Any]:
    return [_FUNCTION[0](argument) for argument in arguments]
