"""What was typed on the command line: as its command gets it, and as messages name it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, get_args

from cyclopts import App, Parameter

from ..errors import UserError

CommandConfig = TypeVar("CommandConfig")


@dataclass(frozen=True)
class Typed(Generic[CommandConfig]):
    """The values of a configuration that were typed. `typed: Typed[GenerateConfig] = UNTYPED` in a command's signature
    gives the command an option for each field of the configuration.

    For the type checker the parameter is a `Typed`. The parser sees `Annotated[GenerateConfig | None, …]` instead, and
    makes options of the fields. It makes no configuration, which also needs files and presets: `CommandLine.parse` puts
    a `Typed` in its place.
    """

    values: Mapping[str, Any]
    """Flat name → value, such as `mask.beta` → 0.4."""

    if not TYPE_CHECKING:

        def __class_getitem__(cls, kind: type) -> Any:
            """The annotation that the parser sees."""
            return Annotated[kind | None, Parameter(name="*"), cls]


UNTYPED: Any = None
"""The default of a parameter `Typed[…]`, which makes it optional for the parser. Commands never receive it."""


class CommandLine:
    """A command line: its words are parsed, and then named in messages about errors."""

    def __init__(self, program: App, words: Sequence[str]) -> None:
        self.program, self.words = program, list(words)
        self._typed: dict[str, dict[str, Any]] = {}
        """Parameter of the command → the values that were typed of its configuration."""
        self._options: dict[str, str] = {}
        """Flat name of a field, or name of a command's parameter → its option as it was typed, or the name itself."""
        self._phrases: dict[str, str] = {}
        """Typed word → its option and the word."""

    def run(self) -> Any:
        """Call the command with what was typed. Raises UserError and the parser's CycloptsError."""
        command, bound = self.parse()
        return command(*bound.args, **bound.kwargs)

    def parse(self) -> tuple[Callable[..., Any], inspect.BoundArguments]:
        """(command, its arguments)."""
        self.program.config = (self._take,)
        command, bound, _ = self.program.parse_args(self.words, exit_on_error=False, print_error=False)
        bound.arguments.update({parameter: Typed(values) for parameter, values in self._typed.items()})
        return command, bound

    def name(self, subject: str) -> str:
        """The subject of a message as the user knows it: a field's option, or a typed word with its option."""
        return self._options.get(subject) or self._phrases.get(subject, subject)

    def command_options(self) -> set[str]:
        """The options and arguments of the command, such as --seed and PATHS."""
        command = self.program.parse_commands(self.words)[1][-1]
        arguments = command.assemble_argument_collection() if command.default_command else ()
        return set(chain.from_iterable(argument.names for argument in arguments))

    def _take(self, app: App, commands: tuple[str, ...], arguments: Iterable[Any]) -> None:
        """Take the typed values of configurations from the parser, which would make instances of them. The parser calls
        this before it converts the other words."""
        named = list(name_arguments(arguments))
        words = [token.value for token in chain.from_iterable(argument.tokens for argument, *_ in named)]
        for argument, name, parameter in named:
            self._options[name] = name
            values = {} if parameter is None else self._typed.setdefault(parameter, {})
            if not argument.tokens:
                continue
            token, option = argument.tokens[0], argument.tokens[0].keyword
            if "Path" in str(argument.hint) and not all(one.value.strip() for one in argument.tokens):
                raise UserError(option or argument.name, "an empty path", "the current folder is .")
            if option:
                if option.startswith("--no-") and token.implicit_value is True:
                    raise UserError(option, "takes no value", f"write {option}, or {argument.name}")
                self._options[name] = option
                if words.count(token.value) == 1:
                    self._phrases[token.value] = f"{option} {token.value}"
                    self._phrases[repr(token.value)] = f"{option} {token.value!r}"
            if parameter is not None:
                values[name] = read_value(name, argument)
                argument.tokens.clear()


def name_arguments(arguments: Iterable[Any]) -> Iterator[tuple[Any, str, str | None]]:
    """(argument, name, parameter) for each argument of a command. name: its flat name, such as `mask.beta`. parameter:
    the command's parameter if the argument is a field of a configuration, otherwise None."""
    parameter = None
    for argument in arguments:
        if argument.keys:
            yield argument, ".".join(argument.keys), parameter
            continue
        # A parameter of the command, which the fields of its dataclass follow
        name = argument.field_info.name
        annotation = argument.field_info.annotation
        inner = (annotation, *get_args(annotation))  # Python 3.10 puts Optional[…] around one whose default is None
        parameter = name if any(Typed in get_args(one) for one in inner) else None
        yield argument, name, parameter


def read_value(name: str, argument: Any) -> Any:
    """The typed value of a field. The file of a user's own method, FILE.py:FUNCTION, is run to register the method."""
    value = argument.convert_and_validate()
    if name == "mask.method" and ".py:" in value:
        from ..masks.own import register_file  # imports torch

        return register_file(value)
    return value
