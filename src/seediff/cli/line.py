"""What was typed on the command line, between parsing it and calling the command."""

from __future__ import annotations

from typing import Any

from cyclopts import App

typed: dict[str, Any] = {}
"""Flat name → value, of the options of configurations."""
spelled: dict[str, str] = {}
"""Flat name of a field, name of a command's argument, or a word that was typed → the option as it was typed, for
messages.
"""


def record(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Take what was typed of a configuration into `typed`, so that the parser does not make one of it. cyclopts calls
    this.
    """
    typed.clear()
    spelled.clear()
    configuration, prefix = False, ""
    words = [token.value for argument in arguments for token in argument.tokens]
    for argument in arguments:
        if not argument.keys:  # an argument of the command itself; the fields of a dataclass follow it
            kind = argument.resolved_hint
            configuration = isinstance(kind, type) and kind.__module__.startswith("seediff.config.")
            prefix = f"{argument.field_info.name}." if configuration and argument.field_info.name != "line" else ""
        if not argument.tokens:
            continue
        name = prefix + ".".join(argument.keys) if argument.keys else argument.field_info.name
        if option := argument.tokens[0].keyword:
            word = argument.tokens[0].value
            if words.count(word) == 1:
                spelled.update({word: f"{option} {word}", repr(word): f"{option} {word!r}"})
            spelled[name] = option
        if configuration and argument.keys:
            value = argument.convert_and_validate()
            if name == "mask.method" and ".py:" in value:  # FILE.py:FUNCTION, which is run and registered
                from ..masks.own import register_file  # imports torch

                value = register_file(value)
            typed[name] = value
            argument.tokens.clear()
