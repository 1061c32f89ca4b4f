"""`--help` of the commands with many options shows those that most people use, `--help-all` all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App
from cyclopts.help import DefaultFormatter, HelpPanel

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

HELP, HELP_ALL = "--help", "--help-all"
COMMON = {
    "generate": (
        "classes per-class prompt vary subclasses classes-per-image seed model steps size method beta reject keep-soft"
        " out dry-run quiet"
    ),
    "mask": "classes model size presence method beta keep-soft out dry-run quiet",
    "segment": "names model size method kl-threshold k edge-rounds out dry-run quiet",
    "train": "epochs steps val val-share finetune backbone weights batch-size learning-rate device out dry-run quiet",
}
"""Command → the options that `--help` shows."""


def show_default(value: Any) -> str | None:
    """A default as it would be typed; None to show none."""
    if value in (None, "", ()):
        return None
    if isinstance(value, tuple):
        return ",".join(str(show_default(each)) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


class Help(DefaultFormatter):
    """Shows a command's arguments, and those of its options whose names are given."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.names = names

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> Any:
        shown = [entry for entry in panel.entries if not entry.positive_names or self.names & {*entry.positive_names}]
        super().__call__(console, options, panel.copy(entries=shown))


def prepare_help(program: App, command: str, every: bool) -> None:
    """Have the help of a command show its most common options, or every one."""
    epilogue = "A model, method, preset or backbone may have other defaults: `--dry-run --verbose` prints those in use."
    if not every:
        program[command].help_formatter = Help({f"--{name}" for name in COMMON[command].split()})
        epilogue = f"These are the most common options. All of them: `seediff {command} {HELP_ALL}`\n\n{epilogue}"
    program[command].help_epilogue = epilogue
