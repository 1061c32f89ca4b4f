"""Progress of long commands on stderr: a bar on a terminal, plain lines elsewhere, and how far a run came when it ends early."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from ..errors import UserError, system_reason

if TYPE_CHECKING:
    from ..files.output_folders import Out
    from ..workers import Progress

LINE_SECONDS = 10.0


class InterruptedRun(KeyboardInterrupt):
    """Ctrl-C during a run; the text says how to go on."""


@contextmanager
def telling(state: Callable[[], str], again: Callable[[], str] = lambda: "the same command continues") -> Iterator[None]:
    """An interruption (InterruptedRun) or a full disk (UserError) is told with how far the run came, and what the same command does."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRun(f"interrupted with {state()}; {again()}") from error
    except OSError as error:  # a full disk, above all
        raise UserError(f"{system_reason(error)}; {state()}; when that is fixed, {again()}") from error


@contextmanager
def show_progress(quiet: bool, out: Out, what: str = "images") -> Iterator[Progress]:
    """What a run into the folder `out` reports to: a bar on a terminal, elsewhere lines. what: is counted."""
    finished = [0, 0]

    def state() -> str:
        if not finished[1]:
            return "nothing finished yet by this run"
        return f"{finished[0]} of {finished[1]} {what} finished in {shlex.quote(str(out))}"

    with telling(state), bar_or_lines(quiet, what) as show:

        def progress(done: int, total: int, current: str) -> None:
            finished[:] = [done, total]
            show(done, total, current)

        yield progress


def bar_or_lines(quiet: bool, what: str = "images") -> AbstractContextManager[Progress]:
    """What is done on stderr: nothing, a bar on a terminal, elsewhere lines. what: is counted."""
    return no_progress() if quiet else progress_bar(what) if sys.stderr.isatty() else progress_lines(what)


@contextmanager
def no_progress() -> Iterator[Progress]:
    yield lambda done, total, what: None


@contextmanager
def progress_lines(what: str = "images", clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """A plain line on stderr after a batch, at most one every LINE_SECONDS: for logs, which keep all that is written."""
    # The rate is that of this run's own, from when the first of them was begun.
    begun = said = clock()
    before: int | None = None

    def progress(done: int, total: int, current: str) -> None:
        nonlocal begun, said, before
        now = clock()
        if before is None or done == before:
            before, begun = done, now
            return
        if now - said < LINE_SECONDS:
            return
        said = now
        rate = (done - before) / max(now - begun, 1e-9)
        left = str(timedelta(seconds=round((total - done) / rate)))
        print(f"seediff: {done} of {total} {what}, {rate:.2f} {what}/s, {left} left", file=sys.stderr, flush=True)

    yield progress


@contextmanager
def progress_bar(what: str = "images") -> Iterator[Progress]:
    """A bar on stderr that vanishes at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    from ..files.messages import make_console

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.2f} {what}/s" if task.speed else "")

    console = make_console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    # A rate over many batches: one batch is one step of the bar, and a slow model takes minutes for it.
    bar = Bar(*columns, console=console, transient=True, speed_estimate_period=600)
    with bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, current: str) -> None:
            bar.update(task, completed=done, total=total, description=current)

        yield progress
