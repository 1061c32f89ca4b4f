"""Runs a command line, from its environment to its exit code.

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

from cyclopts import App, MissingArgumentError

from ..errors import BELOW, LONGEST_MESSAGE, Notice, shorten
from .commands import COMMANDS, COMMON, HELP, HELP_ALL, make_app, prepare_help
from .line import CommandLine
from .progress import Terminated

ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",  # warnings of imports would hide the command's own output
    "DIFFUSERS_VERBOSITY": "error",
    "THP_MEM_ALLOC_ENABLE": "1",  # huge pages: Linux allocates attention maps several times as fast
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads release their core: several times as fast beside other programs
}
TIDYING = 5.0
"""Seconds after the first Ctrl-C or SIGTERM during which a further Ctrl-C has no effect (`FirstInterrupt`)."""


def run(words: Sequence[str], program: App | None = None) -> int:
    """Run a command line and return its exit code. words, program: as in `main.main`."""
    # 1. The process
    if words[:1] == ["help"]:  # `seediff help generate`
        words = [*words[1:], HELP]
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    debugging = os.environ.get("SEEDIFF_DEBUG") == "1"
    if not debugging:
        warnings.simplefilter("ignore")  # libraries' warnings are for programmers
        warnings.simplefilter("default", Notice)  # once from each place
        warnings.formatwarning = _notice_line

    # 2. The command, and what its end means
    interrupts = FirstInterrupt()
    line = CommandLine(program or choose_program(words), words)
    open_streams()
    try:
        result = line.run()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except SystemExit as error:  # by rich, when a reader such as `head` closes the output
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return close_output()
    except (Exception, KeyboardInterrupt) as error:
        if debugging:
            raise
        if isinstance(error, BrokenPipeError):
            return close_output()
        from .failures import describe_failure  # knows all formats and options, which take long to import

        code, text = describe_failure(error, line, interrupts.signal)
        with suppress(OSError):  # stderr may be closed
            lines = [" ".join(line.split()) for line in text.split(BELOW)]
            text = f"seediff: {shorten(BELOW.join(lines), LONGEST_MESSAGE)}"
            examples = line.examples() if isinstance(error, MissingArgumentError) else []
            print(text, *examples, sep="\n  ", file=sys.stderr, flush=True)
        return code


def _notice_line(message: Warning | str, *_: object, **__: object) -> str:
    from .advice import warning_line  # imports msgspec, which `seediff --help` need not wait for

    return f"{warning_line(str(message))}\n"


def open_streams() -> None:
    """Discard what goes to a closed stdout or stderr, and have a character escaped that a stream's encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the program ends
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def choose_program(words: Sequence[str]) -> App:
    """The App that runs these words: one that imports no command for `seediff --help`; one that describes the options
    for, say, `seediff generate --help`; and otherwise the usual one, whose options have no texts."""
    plain = not getattr(sys.stdout, "isatty", bool)()  # None if the shell closed it
    if not words or words[0] in ("-h", HELP, HELP_ALL):
        return make_app(listing=True, plain=plain)
    program = make_app(completion=words[0] not in COMMANDS, plain=plain)
    if words[0] in COMMANDS and {"-h", HELP, HELP_ALL} & set(words):
        from .typed import Typed

        Typed.described = True
        if plain:  # without the line ends of the source
            command = program[words[0]]
            command.help = re.sub(r"(?<=\S)\n *(?=\w)", " ", command.help)
        if words[0] in COMMON:
            prepare_help(program, words[0], HELP_ALL in words)
    return program


class FirstInterrupt:
    """From its creation on, lets only the first Ctrl-C or SIGTERM raise KeyboardInterrupt or Terminated, so that others
    do not disturb the cleanup.

    If the cleanup hangs, a second SIGTERM, or a Ctrl-C more than TIDYING seconds after the first, ends the process and
    its workers at once. The next run removes what they leave.
    """

    def __init__(self) -> None:
        self.signal = 0
        """The number of the first signal; 0: none came."""
        self.at = 0.0
        """When it came, by `time.monotonic`."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.interrupt)
            before = signal.getsignal(signal.SIGINT)
            if before is signal.default_int_handler or isinstance(getattr(before, "__self__", None), FirstInterrupt):
                signal.signal(signal.SIGINT, self.interrupt)

    def interrupt(self, number: int, _frame: object) -> None:
        if not self.signal:
            self.signal, self.at = number, time.monotonic()
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if number == signal.SIGTERM or time.monotonic() - self.at > TIDYING:
            os._exit(128 + number)


def close_output() -> int:
    """Discard further output, because its reader, such as `head`, closed it. Returns 141, the exit code that shells
    give to such a program."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return 141
