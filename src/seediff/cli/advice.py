"""What commands print: notes, what could not be used, and the lines about next steps."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LONGEST_MESSAGE, UserError, escaped, shorten
from ..files.messages import plural
from ..files.reading import real

if TYPE_CHECKING:
    from rich.console import Console

    from ..dataset.reading import Reading
    from ..rows.row import Row

MOST_LINES = 30
"""Maximum number of lines about how a set was understood."""


def say_reading(*readings: Reading) -> None:
    for reading in readings:
        print(*reading.lines(MOST_LINES), sep="\n")


def say_notes(notes: Iterable[str]) -> None:
    print(*(f"note: {note}\n" for note in notes), sep="", end="")


def warn(text: str, quiet: bool = False) -> None:
    """Print a warning about doubtful results on stderr, unless `quiet`."""
    if not quiet:
        print(warning_line(text), file=sys.stderr, flush=True)


def warning_line(text: str) -> str:
    return f"seediff: {shorten(escaped(text), LONGEST_MESSAGE)}"


def report_unusable(failed: Sequence[Row], photos: int, out: Path) -> None:
    """Raise UserError at the end of a run if some photographs could not be used, so that the exit code shows it.
    failed: the rows of failed.jsonl. photos: the number of all photographs. out: the folder of the output."""
    from ..files.names import FAILED

    if failed:
        first = failed[0]
        count = len(failed)
        reasons = f"{first.photo}: {first.reason}"
        if count > 1:
            reasons += f" and {count - 1} more"
        where = shlex.quote(str(out / FAILED))
        raise UserError(f"{count} of {plural(photos, 'image')} could not be used ({reasons}); the list is in {where}")


def print_lines(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    """Print lines as they are. console: from `make_console`. style: rich's name of their look on a terminal."""
    for line in lines:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


LOOK = "see how each mask was made, and correct it"


def next_steps(*commands: str, made: Path | None = None) -> str:
    """The last lines that a command prints: the commands to run next, and the page to look at. commands: from
    `command_line`. made: the folder of the new dataset, which has the page; None: there is no page."""
    from ..files.names import PREVIEW

    steps = "\n  ".join(("\nNext:", *commands))
    return steps if made is None else f"{steps}\n\nLook at {shlex.quote(str(made / PREVIEW))} (in a browser)"


def command_line(*arguments: object, about: str = "") -> str:
    """A line for a shell that runs this program, such as `seediff check pets`. about: its purpose, appended as a
    comment."""
    line = " ".join([own_command(), *(shlex.quote(str(argument)) for argument in arguments)])
    return f"{line}    # {about}" if about else line


def export_line(data: Path) -> str:
    return command_line("export", data, "--to", "coco", "--out", f"{data}-coco", about="or yolo, voc, cvat …")


def train_line(data: Path) -> str:
    return command_line("train", data, "--out", "segmenter")


def own_command() -> str:
    """What to type to run this program: `seediff` if the shell finds it by that name; otherwise the path of the running
    script, or `python -m seediff` if no script is running."""
    script = Path(sys.argv[0])
    if script.stem != "seediff":
        return f"{shlex.quote(sys.executable)} -m seediff"
    installed = shutil.which("seediff")
    if installed and real(installed) == real(script):
        return "seediff"
    return shlex.quote(str(script))
