"""`CommandLine`: turns the words of a command line into values for a command, and later names them in messages.

A command such as `generate` has two kinds of options. Its own parameters, such as --out, get values from the parser
(cyclopts). The fields of its configuration, such as --beta, are only collected: `typed` gets `mask.beta` → 0.4, because
a configuration is made of more than what was typed, such as files and presets.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, Parameter

from ..errors import UserError

if TYPE_CHECKING:
    from cyclopts import Argument

Command = TypeVar("Command", bound=Callable[..., Any])
Typed = Mapping[str, Any]
"""Flat name → value, such as `mask.beta` → 0.4, for the fields of a configuration that a user typed."""
TYPED = "typed"
"""The parameter with which a command gets its typed values."""


def options_of(kind: type) -> Callable[[Command], Command]:
    """A decorator that gives a command an option for each field of a configuration. kind: the configuration's class.
    The command must have a keyword-only parameter `typed: Typed` without a default.

    The decorator makes `typed` look like a configuration, so the parser makes an option of each field. When the command
    runs, `CommandLine.parse` passes the typed values instead.
    """

    def decorate(command: Command) -> Command:
        function: Any = command
        function.__annotations__[TYPED] = Annotated[kind | None, Parameter(name="*")]
        function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), TYPED: None}  # so that nothing has to be typed
        return command

    return decorate


class CommandLine:
    """A command line: the program, and the words after its name."""

    def __init__(self, program: App, words: Sequence[str]) -> None:
        self.program, self.words = program, list(words)
        self._typed: dict[str, Any] = {}
        self._options: dict[str, str] = {}
        """Flat name of a field, or name of a parameter → its option as it was typed, such as `mask.beta` → `--beta`.
        Names that were not typed map to themselves."""

    def run(self) -> Any:
        """Call the command with what was typed. Raises UserError and the parser's CycloptsError."""
        command, bound = self.parse()
        return command(*bound.args, **bound.kwargs)

    def parse(self) -> tuple[Callable[..., Any], inspect.BoundArguments]:
        """(command, arguments): the command's function, and the arguments to call it with."""
        self.program.config = (self._take_typed,)
        command, bound, _ = self.program.parse_args(self.words, exit_on_error=False, print_error=False)
        if TYPED in bound.signature.parameters:
            bound.arguments[TYPED] = self._typed
        return command, bound

    def name(self, subject: str) -> str:
        """The subject of a message as the user knows it: `mask.beta` → `--beta`."""
        return self._options.get(subject, subject)

    def command_options(self) -> set[str]:
        """The options and arguments of the command, such as --seed and PATHS."""
        command = self.program.parse_commands(self.words)[1][-1]
        arguments = command.assemble_argument_collection() if command.default_command else ()
        return set(chain.from_iterable(argument.names for argument in arguments))

    def _take_typed(self, app: App, commands: tuple[str, ...], arguments: Sequence[Argument]) -> None:
        """Take the typed values of the configuration away from the parser, so that it does not make the configuration.
        The parser calls this when it has sorted the words, and before it converts them. For example, for
        `generate --beta 0.4 --out pets`:

            --beta 0.4   a field of `typed`: `_typed` gets mask.beta → 0.4, `_options` gets mask.beta → --beta,
                         and the parser loses the words
            --out pets   a parameter: `_options` gets out → --out, and the parser keeps the words

        arguments: the command's parameters, and below those that are dataclasses, their fields. Raises UserError for an
        empty path, and for a value after `--no-…`.
        """
        for parameter in arguments:
            if parameter.keys:  # a field: the next loop takes it with its parameter
                continue
            for argument in (parameter, *parameter.children_recursive):
                name = ".".join(argument.keys) or argument.field_info.name
                option = argument.tokens[0].keyword if argument.tokens else None
                self._options[name] = option or name
                if "Path" in str(argument.hint) and not all(token.value.strip() for token in argument.tokens):
                    raise UserError(option or argument.name, "an empty path", "the current folder is .")
                if option and option.startswith("--no-") and argument.tokens[0].implicit_value is True:
                    raise UserError(option, "takes no value", f"write {option}, or {argument.name}")
                is_field = argument.keys and parameter.field_info.name == TYPED
                if is_field and argument.tokens:
                    self._typed[name] = read_value(name, argument)
                    argument.tokens.clear()


def read_value(name: str, argument: Argument) -> Any:
    """The typed value of a field, converted and checked. A user's own method, such as `--method my.py:rings`, is
    registered: its file is run. name: the field's flat name."""
    value: Any = argument.convert_and_validate()
    if name == "mask.method" and ".py:" in value:
        from ..masks.own import register_file  # imports torch

        return register_file(value)
    return value
