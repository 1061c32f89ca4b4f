"""The command line. Commands import what they need when they run, so that `seediff --help` answers at once.

Exit codes: 0 done, 1 a fault of this program, 2 a problem that the user can fix, 130 interrupted, 141 the reader of the
output closed it. Errors are one line on stderr; with SEEDIFF_DEBUG=1 in the environment, they are tracebacks.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, MissingArgumentError, Parameter, UnusedCliTokensError

from .. import __version__
from ..errors import Notice, UserError, system_reason
from ..files.messages import did_you_mean, escaped_streams
from .help import COMMON, HELP_ALL, prepare_help, show_default
from .line import options, record, words
from .progress import InterruptedRun

HELP = "--help"
TIDYING = 5.0
"""Seconds after the first Ctrl-C during which further ones have no effect (`interrupt_once`)."""

ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",  # warnings of imports would hide the command's own output
    "DIFFUSERS_VERBOSITY": "error",
    "THP_MEM_ALLOC_ENABLE": "1",  # huge pages: Linux allocates attention maps several times as fast
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads release their core: several times as fast beside other programs
}
MEANT = {
    "--format": ("--to", "--from"),
    "-o": ("--out",),
    "-m": ("--model",),
    "--name": ("--classes", "--names"),
    "--classes": ("--names",),
    "--names": ("--classes",),
    "--lr": ("--learning-rate",),
}
"""What other programs call an option → its names here."""
COMMANDS = {
    "generate": ("generate:generate", "Generate images of named classes with pixel masks, as a dataset for training."),
    "mask": ("photos:mask", "Make pixel masks of named classes in photographs, as a dataset like `generate`'s."),
    "segment": ("photos:segment", "Divide photographs into segments without class names."),
    "augment": (
        "augment:augment",
        "Add changed copies of samples: spliced, noisy, blurred, flipped, recoloured.",
    ),
    "look": ("look:look", "View a dataset in the browser, see how each mask was made, and correct masks."),
    "check": ("quality:check", "Check a dataset for broken files and labels."),
    "stats": ("quality:stats", "Count each class's images, pixels, areas, pieces and flags in a dataset."),
    "filter": ("quality:filter_", "Make a dataset from the samples that are worth training on."),
    "export": ("formats:export_", "Write a dataset in another format."),
    "import": ("formats:import_", "Make a dataset from another format."),
    "merge": ("sets:merge", "Merge several datasets into one."),
    "split": ("sets:split", "Divide a dataset for training, validation and testing."),
    "train": ("train:train", "Train a segmenter on datasets."),
    "predict": ("train:predict", "Segment pictures with a trained segmenter."),
    "evaluate": ("evaluate:app", "Compare predictions with labels."),
    "models": ("commands:models", "List the models with short names, and which are on this machine."),
    "tune": ("tune:tune", "Find a model's own thresholds from a few labelled photographs."),
    "completion": ("commands:completion", "Print the shell's completion script, or install it."),
}
"""Command → its `module:function` or `module:app`, and its line in the list of commands. Its module is imported when it
is used.
"""
GROUPS = {
    Group("Make", sort_key=1): "generate mask segment augment",
    Group("Look and correct", sort_key=2): "look check stats filter",
    Group("Convert", sort_key=3): "export import merge split",
    Group("Train", sort_key=4): "train predict evaluate",
    Group("Models and research", sort_key=5): "models tune",
    Group("Other", sort_key=6): "completion --help --version",
}
"""Groups of the list of commands, the most common first."""


ABOUT_MODELS = """\
Sizes are those of all weights in half precision; licences are what the models' pages said: read them before use.
Fetched on first use; or before, for a machine without a network: hf download HUB-ID --local-dir FOLDER, then --model\
 FOLDER.
Also any local folder in diffusers' format, or a hub id: seediff generate --model FOLDER --classes zebra --out zebras"""


def models() -> None:
    """List the models that have short names, with their sizes and licences, and which are on this machine.

    For example: `seediff models`
    """
    from rich.padding import Padding
    from rich.text import Text

    from ..files.messages import make_console
    from ..models.info import HEADINGS, list_models

    console, listed = make_console(), list_models()
    lines = [HEADINGS, *(row[: len(HEADINGS)] for _, rows in listed for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def aligned(cells: Sequence[str]) -> Text:
        return Text("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())

    console.print(aligned(HEADINGS))
    for family, rows in listed:
        console.print()
        console.print(Text(family.title, style="bold"))
        for row in rows:
            console.print(aligned(row[: len(HEADINGS)]))
            # On a line of its own, so that the id can be copied in one piece even from a narrow terminal.
            console.print(
                Padding(Text(", ".join(filter(None, (row.hub_id, row.licence)))), (0, 0, 0, 4), expand=False),
                style="dim",
            )
    print(f"\n{ABOUT_MODELS}")


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish", "powershell"] | None, Parameter(help="Shell; by default the current one.")
    ] = None,
    *,
    install: Annotated[
        bool, Parameter(help="Install the script and load it in the shell's start-up file.", negative=())
    ] = False,
) -> None:
    """Print the shell's completion script, or install it.

    For example:

    - `seediff completion --install`

    - `seediff completion bash > seediff.bash`
    """
    from cyclopts.completion import ShellDetectionError

    try:
        if install:
            print(f"Installed as {app.install_completion(shell=shell)}; it works in new shells.")
        else:
            print(app.generate_completion(shell=shell))
    except ShellDetectionError as error:
        raise UserError(
            "cannot tell which shell this is; name it: seediff completion bash (or zsh, fish, powershell)"
        ) from error


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
        config=(record,),
        result_action="return_value",
    )
    for place, (name, group) in enumerate((name, group) for group, names in GROUPS.items() for name in names.split()):
        if name in COMMANDS:
            where, line = COMMANDS[name]
            text = line if listing or where.endswith("app") else None
            program.command(f"seediff.cli.{where}", name=name, help=text, group=group, sort_key=place)
        else:
            program[name].group = group
    return program


app = make_app()


def main(arguments: Sequence[str] | None = None, program: App | None = None) -> int:
    """Run the command line and return its exit code. Errors become exit codes, except with SEEDIFF_DEBUG=1 in the
    environment. program: another App to run, for programs outside the package."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    interrupt_once()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if program is not None:
        program.config = (record,)
    with escaped_streams():
        return _run(program or _fitting(arguments), arguments)


def _fitting(arguments: Sequence[str]) -> App:
    """The App for these arguments: for the list of commands, one that imports no command; for the help of one with many
    options, one that knows which of them to show."""
    if not arguments or arguments[0] in ("-h", HELP, HELP_ALL):
        return make_app(listing=True)
    if arguments[0] in COMMON and {"-h", HELP, HELP_ALL} & set(arguments):
        program = make_app()
        prepare_help(program, arguments[0], HELP_ALL in arguments)
        return program
    return app


def _run(program: App, arguments: list[str]) -> int:
    try:
        if os.environ.get("SEEDIFF_DEBUG") != "1":
            warnings.simplefilter("ignore")  # libraries' warnings are for programmers
            warnings.simplefilter("default", Notice)  # once from each place
            warnings.formatwarning = lambda message, *_, **__: f"seediff: {message}\n"
        result = program(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except SystemExit as error:  # by rich, when a reader such as `head` closes the output
        if isinstance(error.__context__, BrokenPipeError):
            return _explain(error.__context__, arguments)
        raise
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SEEDIFF_DEBUG") == "1":
            raise
        return _explain(error, arguments)


_interrupted: list[float] = []
"""The time of the first Ctrl-C (`time.monotonic`), or empty."""


def interrupt_once() -> None:
    """Let only the first Ctrl-C raise KeyboardInterrupt, so that further ones do not disturb the cleanup.

    In case the cleanup hangs, a Ctrl-C more than TIDYING seconds after the first ends the process at once. Its workers
    end with it, and the next run removes its leftovers.
    """
    _interrupted.clear()

    def interrupt(*_: object) -> None:
        if not _interrupted:
            _interrupted.append(time.monotonic())
            raise KeyboardInterrupt
        if time.monotonic() - _interrupted[0] > TIDYING:
            os._exit(130)

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, interrupt)


def _explain(error: BaseException, arguments: Sequence[str]) -> int:
    """Print one line about the error on stderr, and return the exit code."""
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, closed the output
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
                continue
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 141  # as shells report a program ended by SIGPIPE
    if isinstance(error, KeyboardInterrupt) or _interrupted:  # some libraries turn it into an error of their own
        code, text = 130, str(error) if isinstance(error, InterruptedRun) else "interrupted"
    elif isinstance(error, UserError):
        subject = options.get(error.subject, words.get(error.subject, error.subject))
        code, text = 2, f"{subject}: {error.reason}" if error.problem else str(error)
    elif isinstance(error, CycloptsError):
        flag = HELP_ALL if arguments[:1] and arguments[0] in COMMON else HELP
        code, text = 2, f"{_misread(error, arguments)} ({flag} lists all options)"
    elif isinstance(error, OSError):
        code, text = 2, system_reason(error)
    elif isinstance(error, RecursionError):  # a value that a parser could read, but a writer cannot take
        code, text = 2, "a value in the input is nested too deeply"
    elif _is_out_of_memory(error):
        offload = ", or --offload model on a GPU" if arguments[0] in ("generate", "mask", "segment") else ""
        code, text = 2, f"the device is out of memory; use a smaller --batch-size or --size{offload}"
    else:
        code, text = 1, f"{type(error).__name__}: {error} (internal error; SEEDIFF_DEBUG=1 shows where)"
    with suppress(OSError):  # stderr may be closed
        print(f"seediff: {' '.join(text.split())}", file=sys.stderr, flush=True)
    return code


def _misread(error: CycloptsError, arguments: Sequence[str]) -> str:
    """The message for a command line that cannot be parsed: the parser's own, except where that would not help."""
    error.verbose = False
    command = app.parse_commands(arguments)[1][-1]
    collected = command.assemble_argument_collection() if command.default_command else ()
    known = {name for argument in collected for name in argument.names}
    if isinstance(error, UnusedCliTokensError) and (words := error.unused_tokens):
        before = arguments[arguments.index(words[0]) - 1] if words[0] in arguments[1:] else ""
        if before in known:
            return f"{before} takes no value, such as {words[0]!r}"
        hint = "; separate several names with commas, as in --classes dog,cat" if "--classes" in known else ""
        return f"unexpected argument {words[0]!r}{hint}"
    for option in (word.partition("=")[0] for word in arguments):
        if option not in known and (meant := known & {*MEANT.get(option, ())}):
            return f"unknown option {option}; did you mean {' or '.join(meant)}?"
        if isinstance(error, MissingArgumentError) and option.startswith("--") and option not in known:
            return f"unknown option {option}{did_you_mean(option, known)}"
    if (
        isinstance(error, MissingArgumentError)
        and error.argument
        and error.keyword is None
        and not error.argument.tokens
    ):
        name, place = error.argument.name, error.argument.index
        return f"{name if place is None else name.removeprefix('--').upper()} is missing"
    text, decimal = str(error), next((word for word in arguments if re.fullmatch(r"-?\d*,\d+", word)), "")
    return f"{text} Write {decimal.replace(',', '.')}" if "into float" in text and decimal else text


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. For cpu and mps, torch raises RuntimeError with one of these texts."""
    texts = ("DefaultCPUAllocator", "can't allocate memory", "MPS backend out of memory", "Invalid buffer size")
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(text in str(error) for text in texts))
    )
