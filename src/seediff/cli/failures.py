"""The exit code and the one line with which the command line reports an error."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from signal import SIGTERM
from traceback import walk_tb

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnusedCliTokensError

from ..config.other_names import own_name
from ..errors import UserError, first_line, is_out_of_memory, system_reason
from ..files.messages import did_you_mean
from .commands import COMMON, HELP, HELP_ALL
from .line import CommandLine
from .progress import InterruptedRun, Terminated

PACKAGES = ("seediff", "diffusers", "transformers")
OURS = re.compile(r"seediff\.|.*\.(utils\.|check_inputs$)")
"""Matches functions in which an error is a bug of SeeDiff: its own functions, and functions of libraries that wrap or
check its calls."""


def describe_failure(error: BaseException, line: CommandLine, signal_number: int) -> tuple[int, str]:
    """(exit code, message) for an error. line: the command line that was run. signal_number: of a Ctrl-C or SIGTERM
    that came, which some libraries turn into an error of their own; 0: none came."""
    command = "".join(line.words[:1])
    if isinstance(error, InterruptedRun):
        return error.code, str(error)
    if isinstance(error, Terminated) or signal_number == SIGTERM:
        return 143, "terminated"
    if isinstance(error, KeyboardInterrupt) or signal_number:
        return 130, "interrupted"
    if isinstance(error, UserError):
        if error.problem:
            return 2, f"{line.name(error.subject)}: {error.reason}"
        return 2, str(error)
    if isinstance(error, CycloptsError):
        flag = HELP_ALL if command in COMMON else HELP
        return 2, f"{describe_misread(error, line)} ({flag} lists all options)"
    if is_out_of_memory(error):
        return 2, describe_memory(error, line.command_options())
    if isinstance(error, OSError):
        return 2, system_reason(error)
    debug = "SEEDIFF_DEBUG=1 shows where"
    if is_of_model(error):
        return 2, f"the model cannot run: {first_line(error)}; one of its configurations may be damaged ({debug})"
    return 1, f"{type(error).__name__}: {error} (internal error; {debug})"


def describe_memory(error: BaseException, options: Collection[str]) -> str:
    """The message about a lack of memory: of what, or what is finished; and what helps. options: the command's."""
    smaller = [option for option in ("--batch-size", "--size", "--workers") if option in options]
    fix = f"use a smaller {' or '.join(smaller)}" if smaller else "close other programs, or make large images smaller"
    if "--offload" in options:
        fix += ", or --offload model on a GPU"
    return f"out of memory ({first_line(error)}); {fix}"


def describe_misread(error: CycloptsError, line: CommandLine) -> str:
    """The message for a command line that the parser refuses: the parser's own message, except where another message
    helps more. For example, `generate --classes dog cat --out pets` gets the hint to separate names with commas."""
    error.verbose = False
    words = line.words
    options = line.command_options()
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return describe_stray(error.unused_tokens[0], words, options)

    # An unknown option explains more than the argument that is missing because of it
    typed = [word.partition("=")[0] for word in words if re.match("--?[A-Za-z]", word)]
    unknown = [word for word in typed if word not in options]
    if unknown and not isinstance(error, UnknownCommandError):
        return describe_unknown(unknown, options)
    missing = isinstance(error, MissingArgumentError) and error.keyword is None and error.argument
    if missing and not missing.tokens:
        name = missing.name
        if missing.index is not None:
            name = name.removeprefix("--").upper()
        return "; ".join([f"{name} is missing", *(describe_stray(one, words, options) for one in line.stray[:1])])
    return str(error)


def describe_stray(word: str, words: Sequence[str], options: Collection[str]) -> str:
    """The message about a word that belongs to nothing. words: all that were typed. options: the command's."""
    before = words[words.index(word) - 1] if word in words[1:] else ""
    if before in options:
        return f"{before} takes no value, such as {word!r}"
    hint = ""
    if "--against" in options and words[0] == "evaluate":
        hint = f"; compare with other predictions by --against {shlex.quote(word)}"
    elif "--classes" in options:
        hint = "; separate several names with commas, as in --classes dog,cat"
    if " " in word and "--prompt" in options:
        hint = f"; a prompt is an option: --prompt {shlex.quote(word)}"
    return f"unexpected argument {word!r}{hint}"


def describe_unknown(unknown: Sequence[str], options: Collection[str]) -> str:
    """The message about options that the command does not have: our names for them, or an option with a similar name.
    unknown: as they were typed. options: the command's options and arguments."""
    here = {_field(option): option for option in sorted(options)}  # of --k and -k the last: -k
    names = {option: own_name(_field(option), here) for option in unknown}
    for option, ours in names.items():
        if not ours:
            return f"unknown option {option}{did_you_mean(option, options)}"
    parts = [ours.partition(" ") for ours in names.values()]
    ours = dict.fromkeys(f"{here[option]} {more}".strip() for option, _, more in parts)
    return f"unknown option {', '.join(names)}; the name here: {' '.join(ours)}"


def _field(option: str) -> str:
    """`--per-class` → `per_class`."""
    return option.lstrip("-").replace("-", "_")


def is_of_model(error: BaseException) -> bool:
    """Whether an error comes from a model's own code in diffusers or transformers, and is no bug of SeeDiff: neither a
    hook of SeeDiff failed there, nor were its arguments wrong."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    names = [f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}" for frame in reversed(frames)]
    innermost = next((name for name in names if name.startswith(PACKAGES)), "seediff.")
    return not OURS.match(innermost)
