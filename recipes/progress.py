"""Shows the progress of long work: a bar on a terminal, elsewhere a line per minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from rich.progress import track

from seediff.files.messages import make_console

LINE_SECONDS = 60.0
Item = TypeVar("Item")


def tracked(
    items: Iterable[Item], label: str, total: int, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Item]:
    """Yield `items`, which are `total` in number, and show the progress. An item counts as done when the next is
    requested.
    """
    if sys.stderr.isatty():
        yield from track(items, label, total, console=make_console(stderr=True), transient=True)
        return
    begun = said = clock()
    for done, item in enumerate(items, 1):
        yield item
        if (now := clock()) - said >= LINE_SECONDS:
            said, left = now, timedelta(seconds=round((now - begun) * (total - done) / done))
            print(f"seediff: {label}: {done} of {total}, {left} left", file=sys.stderr, flush=True)
