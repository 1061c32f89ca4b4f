"""`--help` of the commands with many options shows those that most people use; `--help-all` shows all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App
from cyclopts.help import DefaultFormatter, HelpPanel

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

HELP_ALL = "--help-all"
COMMON = {
    "generate": "classes per-class prompt vary subclasses classes-per-image seed model steps size method beta reject keep-soft out dry-run",
    "mask": "classes model size presence method beta keep-soft out dry-run",
    "segment": "names model size method kl-threshold k refine out dry-run",
    "train": "epochs steps val-share finetune backbone weights batch-size learning-rate device out dry-run",
}
"""Command → the options that `--help` shows."""


class ShortHelp(DefaultFormatter):
    """Shows a command's arguments, and only those of its options that are named."""

    def __init__(self, names: str) -> None:
        super().__init__()
        self.names = {f"--{name}" for name in names.split()}

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> Any:
        entries = [entry for entry in panel.entries if not entry.positive_names or self.names & set(entry.positive_names)]
        super().__call__(console, options, panel.copy(entries=entries))


def shorten(program: App, command: str) -> None:
    """Have `--help` of a command show only its common options, and say how to see all of them."""
    app = program[command]
    app.help_formatter = ShortHelp(COMMON[command])
    app.help_epilogue = f"These are the most common options. All of them: `seediff {command} {HELP_ALL}`"
