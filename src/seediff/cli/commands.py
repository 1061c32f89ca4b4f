"""The list of commands. They import what they need when they run, so that `seediff --help` answers at once."""

from __future__ import annotations

from cyclopts import App, Group, Parameter

from .. import __version__
from .help import HELP_ALL, show_default

COMMANDS = {
    "generate": (
        "generate_command:generate",
        "Generate images of named classes with pixel masks, as a dataset for training.",
    ),
    "mask": (
        "photo_commands:mask",
        "Make pixel masks of named classes in photographs, as a dataset like `generate`'s.",
    ),
    "segment": ("photo_commands:segment", "Divide photographs into segments without class names."),
    "augment": (
        "sets:augment",
        "Add changed copies of samples: spliced, noisy, tilted, occluded, mirrored.",
    ),
    "look": ("look:look", "View a dataset in the browser, see how each mask was made, and correct masks."),
    "check": ("quality:check", "Check a dataset for broken files and labels."),
    "stats": ("quality:stats", "Count each class's images, pixels, areas, pieces and flags in a dataset."),
    "filter": ("quality:filter_", "Make a dataset from the samples that are worth training on."),
    "export": ("formats:export_", "Write a dataset in another format."),
    "import": ("formats:import_", "Make a dataset from another format."),
    "merge": ("sets:merge", "Merge several datasets into one."),
    "split": ("sets:split", "Divide a dataset for training, validation and testing."),
    "train": ("train_commands:train", "Train a segmenter on datasets."),
    "predict": ("train_commands:predict", "Segment pictures with a trained segmenter."),
    "evaluate": ("evaluate:app", "Compare predictions with labels."),
    "models": ("model_commands:models", "List the models with short names, and which are on this machine."),
    "download": ("model_commands:download", "Fetch a model from the hub before it is needed."),
    "tune": ("tune_command:tune", "Find a model's own thresholds from a few labelled photographs."),
}
"""Command → its `module:function` or `module:app`, and its line in the list of commands. Its module is imported when it
is used.
"""
GROUPS = {
    Group("Make", sort_key=1): "generate mask segment augment",
    Group("Look and correct", sort_key=2): "look check stats filter",
    Group("Convert", sort_key=3): "export import merge split",
    Group("Train", sort_key=4): "train predict evaluate",
    Group("Models and research", sort_key=5): "models download tune",
    Group("Other", sort_key=6): "completion --help --version",
}
"""Groups of the list of commands, the most common first."""


def make_app(listing: bool = False) -> App:
    """The command line's App. listing: describe commands by their lines in COMMANDS; their own help would import all
    modules.
    """
    program = App(
        name="seediff",
        version=f"seediff {__version__}",
        help=(
            "Class names in, a labelled dataset out: images from a diffusion model, masks from its attention.\n\n"
            "Start with: `seediff generate --classes dog,cat --per-class 5 --out pets`"
        ),
        help_format="markdown",
        suppress_keyboard_interrupt=False,
        help_flags=("--help", "-h", HELP_ALL),
        default_parameter=Parameter(show_default=show_default, allow_leading_hyphen=False),
        result_action="return_value",
    )
    program.register_install_completion_command("completion", help="Install the shell's completion script.")
    for group, names in GROUPS.items():
        for place, name in enumerate(names.split()):
            if name not in COMMANDS:
                program[name].group = group
                continue
            where, line = COMMANDS[name]
            text = line if listing else None
            program.command(f"seediff.cli.{where}", name=name, help=text, group=group, sort_key=place)
    return program


app = make_app()
