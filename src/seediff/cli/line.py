"""What was typed on the command line, between parsing it and calling the command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cyclopts import App

from ..errors import UserError

typed: dict[str, Any] = {}
"""Flat name → value, of the options of configurations."""
options: dict[str, str] = {}
"""Flat name of a field, or name of a command's argument → its option as it was typed, for messages; the name itself if
it was not typed.
"""
words: dict[str, str] = {}
"""A word that was typed → the word with its option, for messages about files."""


def record(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Take what was typed of a configuration into `typed`, so that the parser does not make one of it. cyclopts calls
    this.
    """
    for table in (typed, options, words):
        table.clear()
    values = [token.value for argument in arguments for token in argument.tokens]
    for argument, name, configuration in name_arguments(arguments):
        options[name] = name
        if not argument.tokens:
            continue
        token = argument.tokens[0]
        if option := token.keyword:
            if option.startswith("--no-") and token.implicit_value is True:
                raise UserError(option, "takes no value", f"write {option}, or {argument.name}")
            options[name] = option
            if values.count(token.value) == 1:
                words.update({token.value: f"{option} {token.value}", repr(token.value): f"{option} {token.value!r}"})
        if configuration and argument.keys:
            value = argument.convert_and_validate()
            if name == "mask.method" and ".py:" in value:  # FILE.py:FUNCTION, which is run and registered
                from ..masks.own import register_file  # imports torch

                value = register_file(value)
            typed[name] = value
            argument.tokens.clear()


def name_arguments(arguments: Iterable[Any]) -> Iterator[tuple[Any, str, bool]]:
    """Each argument of a command, its flat name such as `mask.beta`, and whether it is a field of a configuration."""
    configuration, prefix = False, ""
    for argument in arguments:
        if not argument.keys:  # an argument of the command itself; the fields of a dataclass follow it
            kind = argument.resolved_hint
            configuration = isinstance(kind, type) and kind.__module__.startswith("seediff.config.")
            prefix = f"{argument.field_info.name}." if configuration and argument.field_info.name != "line" else ""
        yield argument, prefix + ".".join(argument.keys) if argument.keys else argument.field_info.name, configuration
