"""What every export shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import tee

from ...workers import Result, in_order
from ..sample import Sample

CHUNK = 8
"""Samples that go to another process together: one takes a millisecond or two."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote. samples: how many. files: of all kinds. notes: a line each on what was lost on the way."""

    samples: int
    files: int
    notes: tuple[str, ...] = ()


@contextmanager
def worked_on(items: Iterable[Sample], function: Callable[[Sample], Result], workers: int) -> Iterator[Iterable[tuple[Sample, Result]]]:
    """Each item with what `function` makes of it, in this process or in several; they end with the block."""
    with in_order(function, workers, chunk=CHUNK) as work:
        given, sent = tee(items)
        yield zip(given, work(sent), strict=True)


def no_note(line: str) -> None:
    """Where nobody wants to be told what an import left out."""
