"""Calls one function with many arguments, in threads, in this process, or in several processes on this machine. Results
come in the order of the arguments.
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
"""Shows the progress of long work. A run calls it at the start and after every batch: (number of finished images,
number of all images, what is being done; "" where work on a batch begins)."""
Follow = Callable[[Iterable[Any]], Iterable[Any]]
"""Yields the items one by one, and shows progress meanwhile. Their number may be unknown."""
AHEAD = 4
"""Chunks of arguments per process that are sent before their results are taken. With more, no process is idle; with
fewer, results take less memory."""


def check_workers(count: int) -> None:
    """Raise UserError for fewer than one process."""
    if count < 1:
        raise UserError("workers", f"{count} must be at least 1")


def in_threads(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], follow: Follow
) -> Iterator[Result]:
    """Yields `function(argument)` for each argument, in order, computed in at most eight threads. This is faster only
    for a function that releases Python's lock, such as reading files. follow: shows progress."""
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
    """Yields a function that works like `map` with `function`: it takes arguments and returns the results in order.

    function: what to call; for several processes, it must be picklable, and so must its arguments and results. workers:
    the number of processes; 1 means this process. Others end with the block. chunk: the number of arguments that are
    sent to a process at once. Raises UserError if `workers` is below 1 or a process dies, and whatever the function
    raises."""
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
        why = "out of memory, or a script without `if __name__ == '__main__'`"
        fix = "run the same command again, with fewer workers if need be"
        raise UserError("a worker process ended unexpectedly", why, fix) from error
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    """End a pool's processes at once, as Python 3.14's `kill_workers` does."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    # The pool's thread may wait for the rest of a result that a process was sending. It ends when nobody can send.
    queue: Any = pool._result_queue
    if queue is not None:
        queue._writer.close()


def _results(pool: ProcessPoolExecutor, ahead: int, chunk: int, arguments: Iterable[Any]) -> Iterator[Any]:
    """Yields the results in order, while at most `ahead` chunks are computed or wait."""
    remaining = iter(arguments)
    waiting = deque[Future[list[Any]]]()
    chunks = iter(lambda: list(islice(remaining, chunk)), [])  # ends at the first empty list
    while True:
        for part in islice(chunks, ahead - len(waiting)):
            with _uninterrupted():  # `submit` starts processes
                waiting.append(pool.submit(_call, part))
        if not waiting:
            return
        yield from waiting.popleft().result()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started in the block ignore Ctrl-C and SIGTERM, even while they import. In this process, these
    take effect at the end of the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_FUNCTION: list[Callable[[Any], Any]] = []
"""In a worker process: the function that it calls. It is sent once, at the start of the process."""


def _begin(function: Callable[[Any], Any]) -> None:
    """Prepares a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems without signal masks
    _FUNCTION.append(function)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker process when its parent is killed. Otherwise the worker would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
    os._exit(1)


def _call(arguments: list[Any]) -> list[Any]:
    return [_FUNCTION[0](argument) for argument in arguments]
