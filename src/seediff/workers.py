"""One function of many arguments, in this process or in several of this machine; the results come in the order of the arguments."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from .errors import UserError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

AHEAD = 4
"""Chunks that each process has before it, so that none waits, and memory holds no more than these."""

_function: Callable[[Any], Any]
"""In a worker process: what it does."""


@contextmanager
def in_order(
    function: Callable[[Argument], Result], workers: int, *, chunk: int = 1
) -> Iterator[Callable[[Iterable[Argument]], Iterable[Result]]]:
    """`map` of this function alone, in this process or in `workers` others, which start with the first argument and end with the block.

    For others, the function, its arguments and results must be picklable. chunk: how many arguments are sent together: more for a function
    that is soon done. Raises UserError when `workers` is below 1 or one of them dies, and what the function raises.
    """
    if workers < 1:
        raise UserError(f"workers = {workers} must be at least 1")
    if workers == 1:
        yield partial(map, function)
        return
    # Not a fork: this process may have threads, such as a progress bar's.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=(function,))
    try:
        yield partial(_results, pool, AHEAD * workers, chunk)
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process ended unexpectedly: out of memory, or in a script no `if __name__ == '__main__'`; "
            "run the same command again, with fewer workers if need be"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _results(pool: ProcessPoolExecutor, ahead: int, chunk: int, arguments: Iterable[Any]) -> Iterator[Any]:
    left, waiting = iter(arguments), deque[Future[list[Any]]]()
    while True:
        while len(waiting) < ahead and (some := list(islice(left, chunk))):
            waiting.append(pool.submit(_do, some))
        if not waiting:
            return
        yield from waiting.popleft().result()


def _start(function: Callable[[Any], Any]) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal: the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _function = function


def _end_with_parent() -> None:
    """A process that was killed cannot end its workers, which would wait for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _do(arguments: list[Any]) -> list[Any]:
    return [_function(argument) for argument in arguments]
