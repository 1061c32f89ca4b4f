"""`CommandLine`: turns the words of a command line into values for a command, and later names them in messages.

A command such as `generate` has two kinds of options. Its own parameters, such as --out, have defaults. The fields of
its configuration, such as --beta, have none here: the parameter `typed: Typed[GenerateConfig]` (typed.py) gets what
was typed and nothing else, as {"mask.beta": 0.4}, because a configuration is made of more than that, such as files and
presets.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from cyclopts import App

from ..errors import UserError

if TYPE_CHECKING:
    from cyclopts import Argument


class CommandLine:
    """A command line: the program, and the words after its name."""

    def __init__(self, program: App, words: Sequence[str]) -> None:
        self.program = program
        self.words = list(words)
        self._options: dict[str, str] = {}
        """Flat name of a field, or name of a parameter → its option as it was typed, such as `mask.beta` → `--beta`.
        Arguments map to themselves, and so do fields that were not typed: their value may come from a file."""
        self._known: set[str] = set()
        """The options and arguments of the command; empty until the parser has sorted the words."""
        self.stray: list[str] = []
        """The words that belong to no option and no argument."""

    def run(self) -> Any:
        """Call the command with what was typed. Raises UserError and the parser's CycloptsError."""
        command, bound = self.parse()
        return command(*bound.args, **bound.kwargs)

    def parse(self) -> tuple[Callable[..., Any], inspect.BoundArguments]:
        """(command, arguments): the command's function, and the arguments to call it with. A user's own method, such as
        `--method my.py:rings`, is registered: its file is run."""
        self.program.config = (self._note_options,)
        no_console: Any = object()  # errors are printed without the parser's console, which takes long to import
        command, bound, _ = self.program.parse_args(
            self.words, exit_on_error=False, print_error=False, error_console=no_console
        )
        if "typed" in bound.arguments:
            from ..config.settings import flatten  # imports msgspec, which `seediff --help` need not wait for

            typed = flatten(bound.arguments["typed"])
            if ".py:" in typed.get("mask.method", ""):
                from ..masks.own_methods import register_file

                typed["mask.method"] = register_file(typed["mask.method"])
            bound.arguments["typed"] = typed
        return command, bound

    def name(self, subject: str) -> str:
        """The subject of a message as the user knows it: `mask.beta` → `--beta`."""
        return self._options.get(subject, subject)

    def command_options(self) -> set[str]:
        """The options and arguments of the command, such as --seed and PATHS."""
        if not self._known:
            command = self.program.parse_commands(self.words)[1][-1]
            if command.default_command:
                self._note_names(command.assemble_argument_collection())
        return self._known

    def examples(self) -> list[str]:
        """The first three examples in the help of a command that was typed without anything else; otherwise none."""
        command = self.program.parse_commands(self.words)[1][-1].default_command
        return re.findall(r"`(seediff [^`]+)`", inspect.getdoc(command) or "")[:3] if len(self.words) == 1 else []

    def _note_names(self, arguments: Iterable[Argument]) -> None:
        typed = (argument for argument in arguments if argument.parse)  # not fields that only Python and files give
        self._known.update(chain.from_iterable(argument.names for argument in typed))

    def _note_options(self, app: App, commands: tuple[str, ...], arguments: Sequence[Argument]) -> None:
        """Note the option of each field and parameter. The parser calls this when it has sorted the words, and before
        it converts them.

        arguments: the command's parameters, and the fields of those that have some. Raises UserError for an empty path,
        and for a value after `--no-…`.
        """
        self._note_names(arguments)
        used = {*commands, *(token.value for token in chain.from_iterable(one.tokens for one in arguments))}
        self.stray = [word for word in self.words if not word.startswith("-") and word not in used]
        for argument in arguments:
            name = ".".join(argument.keys) or argument.field_info.name
            option = argument.tokens[0].keyword if argument.tokens else None
            is_option = not argument.keys and argument.index is None  # neither a field nor an argument
            self._options[name] = option or (argument.name if is_option else name)
            if "Path" in str(argument.hint) and not all(token.value.strip() for token in argument.tokens):
                raise UserError(option or argument.name, "an empty path", "the current folder is .")
            if option and option.startswith("--no-") and argument.tokens[0].implicit_value is True:
                raise UserError(option, "takes no value", f"write {option}, or {argument.name}")
