"""Options that name a folder or a file of this machine: not an address, not nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import Parameter, Token

from ..errors import UserError
from ..files.places import Out, Url, parse_folder, parse_out


def _convert(kind: Any, tokens: Sequence[Token]) -> Path:
    return parse_folder(tokens[0].value)


def parse_place(out: str) -> Out:
    """As `parse_out`. Raises UserError also for a store that would be gone when the command ends."""
    place = parse_out(out)
    if isinstance(place, Url) and place.scheme == "memory":
        raise UserError(out, "is the memory of this process, which ends with the command", "name a folder, or s3://bucket/name")
    return place


HERE = Parameter(converter=_convert)
"""Beside an option's own Parameter: its text is a place of this machine. Raises UserError for others."""
