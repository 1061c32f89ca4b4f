"""The words of a command line: as values for the command, and as names in messages."""

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
"""The name of the parameter that gives a command its typed values."""


def options_of(kind: type) -> Callable[[Command], Command]:
    """Give a command an option for each field of a configuration. The command has a keyword-only parameter `typed:
    Typed` without a default.

    For the parser, this parameter is a configuration, so it makes options of the fields. It cannot make the
    configuration itself, which also needs files and presets. Therefore `CommandLine.parse` passes what was typed.
    """

    def decorate(command: Command) -> Command:
        function: Any = command
        function.__annotations__[TYPED] = Annotated[kind | None, Parameter(name="*")]
        function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), TYPED: None}  # so that nothing has to be typed
        return command

    return decorate


class CommandLine:
    """A command line. It parses its words, and later names them in messages about errors."""

    def __init__(self, program: App, words: Sequence[str]) -> None:
        self.program, self.words = program, list(words)
        self._typed: dict[str, Any] = {}
        self._options: dict[str, str] = {}
        """Flat name of a field, or name of a parameter → its option as it was typed, or else the name itself."""

    def run(self) -> Any:
        """Call the command with what was typed. Raises UserError and the parser's CycloptsError."""
        command, bound = self.parse()
        return command(*bound.args, **bound.kwargs)

    def parse(self) -> tuple[Callable[..., Any], inspect.BoundArguments]:
        """(command, arguments): the command's function, and the arguments to call it with."""
        self.program.config = (self._take,)
        command, bound, _ = self.program.parse_args(self.words, exit_on_error=False, print_error=False)
        if TYPED in bound.signature.parameters:
            bound.arguments[TYPED] = self._typed
        return command, bound

    def name(self, subject: str) -> str:
        """The subject of a message as the user knows it: for a field, its option."""
        return self._options.get(subject, subject)

    def command_options(self) -> set[str]:
        """The options and arguments of the command, such as --seed and PATHS."""
        command = self.program.parse_commands(self.words)[1][-1]
        arguments = command.assemble_argument_collection() if command.default_command else ()
        return set(chain.from_iterable(argument.names for argument in arguments))

    def _take(self, app: App, commands: tuple[str, ...], arguments: Sequence[Argument]) -> None:
        """Take the typed values of a configuration from the parser, which calls this before it converts the other
        words. With no words left for it, the parser does not make the configuration itself. arguments: the command's
        parameters, and the fields of parameters that are dataclasses. Raises UserError for an empty path."""
        for parameter in arguments:
            if parameter.keys:  # a field, which is among its parameter's children
                continue
            for argument in (parameter, *parameter.children_recursive):
                name = ".".join(argument.keys) or argument.field_info.name
                option = argument.tokens[0].keyword if argument.tokens else None
                self._options[name] = option or name
                if "Path" in str(argument.hint) and not all(token.value.strip() for token in argument.tokens):
                    raise UserError(option or argument.name, "an empty path", "the current folder is .")
                if argument.tokens and argument.keys and parameter.field_info.name == TYPED:
                    self._typed[name] = read_value(name, argument)
                    argument.tokens.clear()


def read_value(name: str, argument: Argument) -> Any:
    """The typed value of a field. The file of a user's own method, FILE.py:FUNCTION, is run to register the method."""
    value: Any = argument.convert_and_validate()
    if name == "mask.method" and ".py:" in value:
        from ..masks.own import register_file  # imports torch

        return register_file(value)
    return value
