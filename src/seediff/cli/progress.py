"""The progress of long commands on stderr: a bar on a terminal, plain lines elsewhere, and a message about what is
finished when Ctrl-C ends a run."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import UserError, system_reason

if TYPE_CHECKING:
    from ..workers import Progress

T = TypeVar("T")
LINE_SECONDS = 10.0


class Terminated(KeyboardInterrupt):
    """SIGTERM, for example from a cluster's queue."""


class InterruptedRun(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during a run. Its text says what is finished, and how to continue."""

    def __init__(self, text: str, code: int = 130) -> None:
        super().__init__(text)
        self.code = code
        """The exit code, as shells give it."""


@contextmanager
def report_on_interrupt(state: Callable[[], str], can_finish: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """In this block, make Ctrl-C, SIGTERM, a lack of memory, and OSError, such as a full disk, say what is finished.
    state: returns what is finished, for the message, such as "3 of 9 images finished in pets". can_finish: whether the
    command can be run with --finish."""

    def way_on() -> str:
        text = "run the same command to continue"
        if can_finish():
            text += ", or with --finish to keep what is finished"
        return text

    try:
        yield
    except KeyboardInterrupt as error:
        what, code = "interrupted", 130
        if isinstance(error, Terminated):
            what, code = "terminated", 143
        raise InterruptedRun(f"{what} with {state()}; {way_on()}", code) from error
    except MemoryError as error:
        raise MemoryError(f"{state()}; {way_on()}") from error
    except OSError as error:  # most likely a full disk
        reason = system_reason(error)
        raise UserError(f"{reason}; {state()}; when that is fixed, {way_on()}") from error


@contextmanager
def show_progress(quiet: bool, out: Path, can_finish: bool = False) -> Iterator[Progress]:
    """Yields a function that shows progress as `bar_or_lines` does. Ctrl-C, SIGTERM and OSError become errors that say
    how much is finished in the folder `out`. can_finish: whether the command has --finish, which refuses a run that has
    finished nothing."""
    finished = [0, 0]

    def state() -> str:
        if not finished[1]:
            return "nothing finished yet"
        return f"{finished[0]} of {finished[1]} images finished in {shlex.quote(str(out))}"

    with report_on_interrupt(state, lambda: can_finish and finished[0] > 0), bar_or_lines(quiet) as show:

        def progress(done: int, total: int, current: str) -> None:
            finished[:] = [done, total]
            show(done, total, current)

        yield progress


def bar_or_lines(quiet: bool, counted: str = "images", *, told: bool = False) -> AbstractContextManager[Progress]:
    """Yields a function that shows progress on stderr: as a bar on a terminal, otherwise as lines, not at all if
    `quiet`. counted: what is counted, in the plural. told: whether lines also say what is being done."""
    if quiet:
        return nullcontext(lambda *_: None)
    return progress_bar(counted) if sys.stderr.isatty() else progress_lines(counted, told)


def follow_progress(quiet: bool) -> Callable[[Iterable[T]], Iterable[T]]:
    """A function that yields the samples that it gets, and shows a progress bar meanwhile. Without a terminal, or if
    `quiet`, it shows no bar."""
    if quiet or not sys.stderr.isatty():
        return iter
    from rich.progress import track

    from ..files.messages import make_console

    def follow(samples: Iterable[T]) -> Iterable[T]:
        return track(samples, "samples", console=make_console(stderr=True), transient=True)

    return follow


@contextmanager
def progress_lines(counted: str, told: bool) -> Iterator[Progress]:
    """Yields a function that prints progress as lines on stderr, for logs: after a batch, but at most one line in
    LINE_SECONDS, and a last line if there were others. told: as in `bar_or_lines`."""
    # The rate is of this run alone. Before its first item, a report without a text starts the clock again: until then,
    # the run loads the model.
    begun = printed = time.monotonic()  # when the first item began, and when the last line was printed
    before: int | None = None  # items that were finished when the run began
    shown = 0  # items in the last line

    def progress(done: int, total: int, current: str) -> None:
        nonlocal begun, printed, before, shown
        now = time.monotonic()
        if before is None or done == before:
            if before is None or not current:
                begun = now
            before = done
            return
        is_last = done == total and 0 < shown < total
        if now - printed < LINE_SECONDS and not is_last:
            return
        printed = now
        shown = done
        rate = (done - before) / max(now - begun, 1e-9)
        left = str(timedelta(seconds=round((total - done) / rate)))
        line = f"seediff: {done} of {total} {counted}, {rate:.2f} {counted}/s, {left} left"
        if told:
            line = f"{line}, {current}"
        print(line, file=sys.stderr, flush=True)

    yield progress


@contextmanager
def progress_bar(counted: str) -> Iterator[Progress]:
    """Yields a function that moves a bar on stderr. The bar vanishes at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from ..files.messages import make_console

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(counted),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    # The remaining time follows the last 10 minutes, as a slow model takes minutes per batch.
    with Bar(*columns, console=make_console(stderr=True), transient=True, speed_estimate_period=600) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, current: str) -> None:
            bar.update(task, completed=done, total=total, description=current)

        yield progress
