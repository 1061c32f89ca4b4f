"""`seediff generate`: options → configuration → dataset, with a progress bar before and a summary after."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from .cli_options import MASKS, RUN, CaptureOptions, ImageOptions, MaskOptions, given, numbers, option
from .errors import UserError
from .prompts import parse_classes, parse_prompts
from .run_config import GenerateConfig, merge_config

if TYPE_CHECKING:
    from .engine import Progress

LINE_SECONDS = 10.0


class InterruptedRun(KeyboardInterrupt):
    """Ctrl-C during a run; the text says how to go on."""


def generate(
    *,
    out: Annotated[Path, option(RUN, "Folder of the dataset. An unfinished run in it is continued.")],
    images: ImageOptions | None = None,
    masks: MaskOptions | None = None,
    capture: CaptureOptions | None = None,
    config: Annotated[
        Path | None,
        option(RUN, "TOML file with any of these options, such as the seediff.toml of a dataset; the command line goes before it."),
    ] = None,
    preset: Annotated[
        Literal["model", "paper"],
        option(MASKS, "Constants where none are given: those tuned for the model, if it brings any, or the paper's.", "model"),
    ] = "model",
    dry_run: Annotated[bool, option(RUN, "Only say what would be done.", negative=())] = False,
    quiet: Annotated[bool, option(RUN, "Print nothing but errors.", negative=())] = False,
) -> None:
    """Generate images of classes, with a mask for every pixel: a dataset that training code reads as it is.

    A run that was stopped, in whatever way, is continued by the same command and ends with the same bytes.

    For example:

    - `seediff generate --classes dog,cat --per-class 50 --out pets`

    - `seediff generate --classes voc --per-class 20 --prompt "a photo of a {class} on grass" --prompt "a photo of a {class}" --out voc`

    - `seediff generate --classes dog,cat,car --classes-per-image 2 --reject --out pairs`

    - `seediff generate --config pets/seediff.toml --seed 1 --out more-pets`

    - `seediff generate --classes zebra --model sd2-base --batch-size 4 --out zebras --dry-run`
    """
    chosen = make_config(images or ImageOptions(), masks or MaskOptions(), capture or CaptureOptions(), config, preset)
    if dry_run:
        from .plan import describe

        print(describe(chosen, out))
        return
    from .run import generate as run
    from .summary import show_summary

    with show_progress(quiet) as (progress, finished):
        try:
            result = run(chosen, out, progress=progress)
        except KeyboardInterrupt as error:
            raise InterruptedRun(f"interrupted with {state_of(finished, out)}; the same command continues") from error
        except OSError as error:  # a full disk, above all
            what = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
            raise UserError(f"{what}; {state_of(finished, out)}; when that is put right, the same command continues") from error
    if not quiet:
        show_summary(result, chosen)


def make_config(
    images: ImageOptions, masks: MaskOptions, capture: CaptureOptions, file: Path | None = None, preset: str = "model"
) -> GenerateConfig:
    """The configuration: command line before the file of --config before the preset. Raises UserError."""
    line: dict[str, Any] = given(images)
    if "classes" in line:
        line["classes"] = parse_classes(line["classes"])
    if "prompt" in line:
        line["prompts"] = parse_prompts(line.pop("prompt"))
    mask = given(masks)
    for name, kind, count in (("expand_levels", int, None), ("pamr_dilations", int, None), ("ignore_band", float, 2)):
        if name in mask:
            mask[name] = numbers(mask[name], "--" + name.replace("_", "-"), kind, count)
    return merge_config(GenerateConfig, {**line, "mask": mask, "capture": given(capture)}, file, preset=preset == "model")


def state_of(finished: Sequence[int], out: Path) -> str:
    """How far a run came, as its progress was last reported."""
    if not finished[1]:
        return "nothing drawn yet by this run"
    return f"{finished[0]} of {finished[1]} images finished in {shlex.quote(str(out))}"


@contextmanager
def show_progress(quiet: bool) -> Iterator[tuple[Progress, list[int]]]:
    """What `run.generate` reports to, and [images done, images in all] as last reported. A bar on a terminal, elsewhere lines."""
    finished = [0, 0]
    with no_progress() if quiet else progress_bar() if sys.stderr.isatty() else progress_lines() as show:

        def progress(done: int, total: int, what: str) -> None:
            finished[:] = [done, total]
            show(done, total, what)

        yield progress, finished


@contextmanager
def no_progress() -> Iterator[Progress]:
    yield lambda done, total, what: None


@contextmanager
def progress_lines(clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """A plain line on stderr after a batch, at most one every LINE_SECONDS: for logs, which keep all that is written."""
    # The rate is that of this run's own images, from when the first of them was begun.
    begun = said = clock()
    before: int | None = None

    def progress(done: int, total: int, what: str) -> None:
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
        print(f"seediff: {done} of {total} images, {rate:.2f} images/s, {left} left", file=sys.stderr, flush=True)

    yield progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr that vanishes at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.2f} images/s" if task.speed else "")

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images"),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    # A rate over many batches: one batch is one step of the bar, and a slow model takes minutes for it.
    bar = Bar(*columns, console=console, transient=True, speed_estimate_period=600)
    with bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield progress
