"""Texts for the templates of the page and the card, and `render`, which fills a template in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files.messages import plural


def plain_facts(entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value as text) of facts."""
    return [(name.replace("_", " "), show_value(value)) for name, value in entries.items()]


def show_value(value: Any) -> str:
    """A value as a text: lists with commas, booleans as `yes` and `no`, None as `not set`."""
    if isinstance(value, (list, tuple)):
        return ", ".join(show_value(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not set"
    return str(value)


_ENVIRONMENT = Environment(
    loader=PackageLoader("seediff.report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(template: str, /, **values: Any) -> str:
    """The text of a template, with `values` filled in. Values are escaped, so that a prompt or a class name cannot
    become markup. template: a file in templates/."""
    return _ENVIRONMENT.get_template(template).render(plural=plural, **values)
