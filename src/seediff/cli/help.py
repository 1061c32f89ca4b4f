"""`--help` of the commands with many options shows those that most people use, `--help-all` all of them, with the
values that the model at hand would use."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from cyclopts import App
from cyclopts.help import DefaultFormatter, HelpPanel

from ..errors import UserError
from .line import name_arguments

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

HELP_ALL = "--help-all"
COMMON = {
    "generate": (
        "classes per-class prompt vary subclasses classes-per-image seed model steps size method beta reject keep-soft"
        " out dry-run"
    ),
    "mask": "classes model size presence method beta keep-soft out dry-run",
    "segment": "names model size method kl-threshold k refine out dry-run",
    "train": "epochs steps val-share finetune backbone weights batch-size learning-rate device out dry-run",
}
"""Command → the options that `--help` shows."""


def show_default(value: Any) -> str | None:
    """A default as it would be typed; None to show none."""
    if value in (None, "", ()):
        return None
    if isinstance(value, tuple):
        return ",".join(str(show_default(each)) for each in value)
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


class Help(DefaultFormatter):
    """Shows a command's arguments and options. names: of the options to show; None: all. defaults: option → the default
    to show."""

    def __init__(self, names: set[str] | None, defaults: dict[str, str]) -> None:
        super().__init__()
        self.names, self.defaults = names, defaults

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> Any:
        entries = []
        for entry in panel.entries:
            names = {*entry.positive_names}
            if not names or self.names is None or self.names & names:
                defaults = [self.defaults[name] for name in names if name in self.defaults]
                entries.append(entry.copy(default=defaults[0]) if defaults else entry)
        super().__call__(console, options, panel.copy(entries=entries))


def prepare_help(program: App, arguments: Sequence[str]) -> None:
    """Have the help of a command show the options and values that it should for these arguments."""
    command = arguments[0]
    app = program[command] if command in COMMON else program["evaluate"]["masks"]
    every = HELP_ALL in arguments or command not in COMMON
    names = None if every else {f"--{name}" for name in COMMON[command].split()}
    app.help_formatter = Help(names, _defaults(app, arguments))
    if not every:
        app.help_epilogue = f"These are the most common options. All of them: `seediff {command} {HELP_ALL}`"


def _defaults(app: App, arguments: Sequence[str]) -> dict[str, str]:
    """Option → the value that the command would take from the model, method, preset or file that these arguments name,
    with its source.
    """
    from ..config.base import DEFAULT, GIVEN
    from ..config.generate import DatasetConfig
    from ..config.photographs import MaskPhotosConfig
    from ..config.resolve import DECIDING, configure

    hint = get_type_hints(app.default_command).get("line", MaskPhotosConfig | None)
    kind = next(part for part in get_args(hint))
    fields = {argument.name: name for argument, name, _ in name_arguments(app.assemble_argument_collection())}
    pairs = itertools.pairwise(part for word in arguments for part in word.split("=", 1))
    given = {option: value for option, value in pairs if option.startswith("--")}
    line: dict[str, Any] = {"classes": ("dog",)} if issubclass(kind, DatasetConfig) else {}
    line |= {fields[option]: value for option, value in given.items() if fields.get(option) in DECIDING}
    unshown = {"classes"}
    if line.get("segment.method") == "kmeans":
        line["segment.k"] = 1  # which has no default
        unshown.add("segment.k")
    try:
        file = Path(given["--config"]) if "--config" in given else None
        config = configure(kind, line, file, preset=given.get("--preset", "model"))
    except UserError:  # the command itself will say it
        return {}
    flat, texts = config.flat(), {}
    for option, name in fields.items():
        if name not in unshown and (text := show_default(flat.get(name))) is not None:
            source = config.source(name)
            texts[option] = text if source in (DEFAULT, GIVEN) else f"{text} ({source})"
    return texts
