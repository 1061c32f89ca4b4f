"""What a row of metadata.jsonl may say: the keys that SeeDiff reads, each of its type. Others come along as they are.

Rows stay dictionaries, because they carry what other programs wrote from set to set; they are checked here once, where they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..files.documents import read_json_lines
from ..files.reading import ABSENT
from ..files.schema import fit

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_ClassId = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Number = Annotated[int, msgspec.Meta(ge=0)]


class Step(msgspec.Struct, frozen=True):
    """A step of `recipe`, which `augment` writes."""

    operation: str


class Recipe(msgspec.Struct, frozen=True):
    steps: tuple[Step, ...] = ()


class Review(msgspec.Struct, frozen=True):
    """What people said of a sample: `review` of a row."""

    verdict: Literal["accepted", "rejected"] | None = None
    corrected: bool = False
    joined: tuple[tuple[tuple[_Number, _Number], ...], ...] = ()


class Row(msgspec.Struct, frozen=True):
    """area: share of the picture of each class. confidence: in [-1, 1]. index, attempt: of a draw. photo, reason: of one that failed."""

    file_name: str | None = None
    mask: str | None = None
    prompt: str | None = None
    classes: tuple[str, ...] = ()
    class_ids: tuple[_ClassId, ...] = ()
    flags: tuple[str, ...] = ()
    area: dict[str, _Share] = {}
    asked: tuple[str, ...] | None = ()
    confidence: dict[str, float] = {}
    presence: dict[str, float] | None = None
    seed: _Number | None = None
    attempt: _Number | None = None
    index: _Number | None = None
    split: str | None = None
    model: str | None = None
    method: str | None = None
    version: str | None = None
    recipe: Recipe = Recipe()
    review: Review = Review()
    photo: str | None = None
    reason: str | None = None


def checked_rows(path: Path, absent: str = ABSENT) -> Iterator[dict[str, Any]]:
    """The rows of a file, each checked. Raises UserError naming the line of the first that is none."""
    where = f"{path}, line "  # once: to write a path takes longer than to check a row
    for number, row in numbered_rows(path, absent):
        check_row(row, f"{where}{number}")
        yield row


def numbered_rows(path: Path, absent: str = ABSENT) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a file whose lines are JSON objects, their values not yet checked. Raises UserError naming the line."""
    return read_json_lines(path, dict[str, Any], absent=absent)


def check_row(row: dict[str, Any], where: str) -> None:
    """Raise UserError, naming the key, when a value is not of its type."""
    fit(row, Row, where)
