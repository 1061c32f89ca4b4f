"""The list of commands, and their help. Commands import what they need when they run, so that `seediff --help` answers
at once. For commands with many options, `--help` shows the most common ones and `--help-all` shows all.
"""

from __future__ import annotations

import re
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from cyclopts import App, Group, Parameter
from cyclopts.help import DefaultFormatter, HelpPanel

from ..version import __version__

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

HELP = "--help"
HELP_ALL = "--help-all"
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
COMMANDS = {
    "generate": (
        "run_commands:generate",
        "Generate images of named classes with pixel masks, as a dataset for training.",
    ),
    "mask": ("run_commands:mask", "Make pixel masks of named classes in photographs, as a dataset like `generate`'s."),
    "segment": ("run_commands:segment", "Divide photographs into segments without class names."),
    "heatmap": ("heatmap:heatmap", "Draw an image, and a heat map of each word of its prompt."),
    "augment": ("sets:augment", "Add changed copies of samples: spliced, noisy, tilted, occluded, mirrored."),
    "look": ("look:look", "View a dataset in the browser, see how each mask was made, and correct masks."),
    "doubt": ("doubt:doubt", "Find the samples whose labels the other samples of a dataset speak against."),
    "check": ("sets:check", "Check a dataset for broken files and labels."),
    "stats": ("sets:stats", "Count each class's images, pixels, areas, pieces and flags in a dataset."),
    "filter": ("sets:filter_", "Make a dataset from the samples that are worth training on."),
    "export": ("formats:export_", "Write a dataset in another format."),
    "import": ("formats:import_", "Make a dataset from another format."),
    "merge": ("sets:merge", "Merge several datasets into one."),
    "split": ("sets:split", "Divide a dataset for training, validation and testing."),
    "train": ("train_commands:train", "Train a segmenter on datasets."),
    "predict": ("train_commands:predict", "Segment images with a trained segmenter."),
    "evaluate": ("evaluate:app", "Compare predictions with labels."),
    "models": ("model_commands:models", "List the models with short names, and which are on this machine."),
    "download": ("model_commands:download", "Fetch a model from the hub before it is needed."),
    "tune": ("model_commands:tune", "Find a model's own thresholds from a few labelled photographs."),
}
"""Command → its `module:function` or `module:app`, and its line in the list of commands. The module is imported when
somebody uses the command.
"""
GROUPS = {
    Group("Make", sort_key=1): "generate mask segment heatmap augment",
    Group("Look and correct", sort_key=2): "look doubt check stats filter",
    Group("Convert", sort_key=3): "export import merge split",
    Group("Train", sort_key=4): "train predict evaluate",
    Group("Models and research", sort_key=5): "models download tune",
    Group("Other", sort_key=6): "completion --help --version",
}
"""Group → its commands, in the order of the list of commands."""


ABOUT = (
    "Class names in, a labelled dataset out: images from a diffusion model, masks from its attention.\n\n"
    "Start with: `seediff generate --classes dog,cat --per-class 5 --out pets`"
)


def show_default(value: Any) -> str | None:
    """A default as a user would type it, such as `0.5,1`; None for a default that the help does not show."""
    if value in (None, "", (), MISSING):
        return None
    if isinstance(value, tuple):
        return ",".join(str(show_default(each)) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


EVERY_OPTION = Parameter(show_default=show_default, allow_leading_hyphen=False)
"""The parameter of every option, unless the option says otherwise."""


class Help(DefaultFormatter):
    """Prints the help of a command: all its arguments, but only the options in `names`."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.names = names

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> Any:
        shown = [entry for entry in panel.entries if not entry.positive_names or self.names & {*entry.positive_names}]
        super().__call__(console, options, panel.copy(entries=shown))


def prepare_help(program: App, command: str, every: bool) -> None:
    """Set what the help of a command with many options shows: its most common options, or all options if `every`."""
    epilogue = (
        "Another model, method, preset or backbone may have other defaults: `--dry-run --verbose` prints those in use."
    )
    if not every:
        program[command].help_formatter = Help({f"--{name}" for name in COMMON[command].split()})
        epilogue = f"These are the most common options. All of them: `seediff {command} {HELP_ALL}`\n\n{epilogue}"
    program[command].help_epilogue = epilogue


def make_app(listing: bool = False, completion: bool = True, plain: bool = False) -> App:
    """The App of the command line.

    listing: describe each command by its line in COMMANDS, for the list of commands. (The command's own help would be
        shown otherwise, and all modules imported for it.) Markdown is converted here, because its library takes long
        to import.
    completion: whether there is the command `completion`, whose library takes long to import.
    plain: whether help is for a file or a pipe, without colours: values keep their backquotes.
    """
    about = ABOUT
    form = "markdown"
    if plain:
        form = "plaintext"
    elif listing:
        about = _as_markup(ABOUT)
        form = "rich"
    program = App(
        name="seediff",
        version=f"seediff {__version__}",
        help=about,
        help_format=form,
        suppress_keyboard_interrupt=False,
        help_flags=("--help", "-h", HELP_ALL),
        version_flags=("--version", "-v"),
        default_parameter=EVERY_OPTION,
        result_action="return_value",
    )
    if completion:
        program.register_install_completion_command("completion", help="Install the shell's completion script.")
    for group, names in GROUPS.items():
        for place, name in enumerate(names.split()):
            if name in COMMANDS:
                where, line = COMMANDS[name]
                text = line if listing else None
                if listing and not plain:
                    text = _as_markup(line)
                program.command(f"seediff.cli.{where}", name=name, help=text, group=group, sort_key=place)
            elif completion or name != "completion":
                program[name].group = group
    return program


def _as_markup(text: str) -> str:
    return re.sub("`(.+?)`", r"[markdown.code]\1[/]", text)
