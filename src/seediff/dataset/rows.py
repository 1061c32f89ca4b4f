"""The keys of a metadata.jsonl row that SeeDiff reads, with their types: `Row`. A row is written as a dictionary, so
that keys of other programs go from set to set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from unicodedata import category

import msgspec
import numpy as np

from ..config.class_names import BACKGROUND, MAX_CLASSES
from ..config.fields import Share
from ..errors import UserError
from ..files.reading import ABSENT, Byte, Json, composed, fit, read_json_lines
from ..masks.flags import UNLABELLED
from .parts import part_of

_Number = Annotated[int, msgspec.Meta(ge=0)]


OF_THE_MASK = ("confidence", "agreement")
"""Keys that describe the mask that a method made. They go when another mask takes its place."""


class RecipeStep(msgspec.Struct, frozen=True):
    """A step of a recipe."""

    operation: str


class Recipe(msgspec.Struct, frozen=True):
    """`recipe` of a row: how `augment` made the sample."""

    pixels: str | None = None
    """The `pixel_digest` of the picture that was changed. If `augment` made that picture, too, the digest is that of
    the first picture."""
    steps: tuple[RecipeStep, ...] = ()


class Review(msgspec.Struct, frozen=True):
    """`review` of a row: what people decided about the sample."""

    verdict: Literal["accepted", "rejected"] | None = None
    corrected: bool = False
    """Whether a person drew or changed the mask."""
    made: Annotated[Json, msgspec.Meta(min_length=1)] | None = None
    """The constants with which `seediff look` made the mask anew."""
    by: str | None = None
    """The person who acted last."""

    @property
    def replaced(self) -> bool:
        """Whether another mask has taken the place of the original, which soft masks and confidences describe."""
        return self.corrected or self.made is not None

    @property
    def rejected(self) -> bool:
        """Whether people rejected the sample."""
        return self.verdict == "rejected"


class Row(msgspec.Struct, frozen=True):
    """The keys of a row that SeeDiff reads."""

    file_name: str | None = None
    mask_file_name: str | None = None
    prompt: str | None = None
    classes: tuple[str, ...] = ()
    class_ids: tuple[Byte, ...] = ()
    instances: tuple[Byte, ...] = ()
    """The class ids of objects 1, 2, …"""
    instance_scores: tuple[Share, ...] = ()
    """The scores of objects 1, 2, …"""
    flags: tuple[str, ...] = ()
    area: dict[str, Share] = {}
    asked: tuple[str, ...] | None = ()
    confidence: dict[str, float] = {}
    """Class → how sure its mask is, in [-1, 1]."""
    agreement: dict[str, Share] = {}
    """Class → IoU of its mask with a mask by CA·SA."""
    presence: dict[str, float] | None = None
    seed: _Number | None = None
    attempt: _Number | None = None
    """The number of earlier draws of the sample, which were rejected."""
    index: _Number | None = None
    """The number of the sample in its run."""
    split: str | None = None
    model: str | None = None
    method: str | None = None
    made: str | None = None
    version: str | None = None
    recipe: Recipe = Recipe()
    review: Review = Review()
    photo: str | None = None
    """The photograph's name; only in failed.jsonl."""
    reason: str | None = None
    """Why the photograph could not be used; only in failed.jsonl."""

    @property
    def part(self) -> str:
        """The sample's part: the one of SPLITS that `split` means, or else `split` itself. "train" if it is missing."""
        name = self.split or "train"
        return part_of(name) or name

    def why_left_out(self, with_rejected: bool = False) -> str:
        """Why the sample is not used for training and comparing: "rejected" or "unlabelled"; "" if it is used.
        with_rejected: whether rejected samples are used."""
        if self.review.rejected and not with_rejected:
            return "rejected"
        if UNLABELLED in self.flags:
            return UNLABELLED
        return ""


def checked_rows(path: Path, absent: str = ABSENT) -> Iterator[Json]:
    """The rows of a file. path: the file. absent: the error if it is missing. Raises UserError naming the line of the
    first invalid row."""
    where = f"{path}, line "  # formatted once, because that takes longer than checking a row
    for number, row in read_json_lines(path, Json, absent=absent):
        check_row(row, f"{where}{number}")
        yield row


def as_row(row: Mapping[str, Any], where: str = "a row") -> Row:
    """The keys of a row that SeeDiff reads. row: all its keys. where: its name in errors. Raises UserError naming a key
    whose value has the wrong type."""
    return fit(row, Row, where)


def check_row(row: Json, where: str) -> None:
    """Checks a row, and changes it in place: letters of class names become single characters (NFC), and `mask`, a key
    of older sets, becomes `mask_file_name`. where: the row's name in errors. Raises UserError as `as_row` does."""
    if "mask" in row:
        row.setdefault("mask_file_name", row.pop("mask"))
    as_row(row, where)
    if "classes" in row:
        row["classes"] = [*map(composed, row["classes"])]


def ids_by_name(classes: Sequence[str]) -> dict[str, int]:
    """Class → id. classes: the classes of ids 1, 2, …, without the background."""
    return {name: number for number, name in enumerate(classes, 1)}


def shown_classes(
    labels: np.ndarray, classes: Sequence[str], named: Sequence[str] = (), where: str = "a label map"
) -> Json:
    """The keys `classes`, `class_ids` and `area` of a row: the classes that a label map shows, and the share of the
    picture that each covers.

    labels: (H, W) uint8 of class ids, or (256,), the number of pixels of each id. classes: the dataset's classes.
    named: classes that come first, even without a pixel. where: the label map's name in errors. Raises UserError for a
    named class that the dataset does not have.
    """
    counts = labels
    if labels.ndim == 2:
        counts = np.bincount(labels.ravel(), minlength=256)
    ids = ids_by_name(classes)
    for name in named:
        if name not in ids:
            raise UserError(where, f"class '{name}' is not one of the dataset's: {', '.join(classes)}")
    names = list(dict.fromkeys([*named, *(name for name, number in ids.items() if counts[number])]))
    total = max(int(counts.sum()), 1)
    areas = {name: round(int(counts[ids[name]]) / total, 6) for name in names}
    return {"classes": names, "class_ids": [ids[name] for name in names], "area": areas}


def check_class_list(classes: Sequence[str], where: object = "classes") -> None:
    """Raises UserError unless names can be the lines of classes.txt below the background. classes: the names. where:
    the list's name in errors. (`class_names.check_classes` is stricter, for classes that a user invents.)"""
    problem = ""
    if isinstance(classes, str):
        problem = f"must be a list of names, like [{classes!r}]"
    elif len(classes) > MAX_CLASSES:
        problem = f"{len(classes)} classes; label maps hold at most {MAX_CLASSES}"
    elif len({*map(composed, classes)}) < len(classes):
        problem = f"class '{Counter(map(composed, classes)).most_common(1)[0][0]}' appears twice"
    if problem:
        raise UserError(where, problem)
    for name in classes:
        # XML and YAML cannot hold control characters, and terminals obey some
        odd = any(category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in "\ufffe\uffff" for letter in name)
        if odd or not name or name != name.strip() or name == BACKGROUND:
            problem = (
                f"class name {name!r}: must be one printable line, without spaces around it, and not '{BACKGROUND}'"
            )
            raise UserError(where, problem)


def check_name(name: str, taken: set[str], where: object = "") -> None:
    """Adds a sample's name to `taken`. where: the sample in errors. Raises UserError if the name is there already, or
    cannot be the name of a file."""
    parts = name.split("/")
    if any(part[:1] in ("", ".") or not part.isprintable() or {"\\", ":"} & {*part} for part in parts):
        problem = f"sample name {name!r} cannot be a file name"
        raise UserError(where or "samples", problem, "no \\ or :, and no part that is empty or begins with a dot")
    if name in taken:
        raise UserError(where or "samples", f"two samples are called '{name}'")
    taken.add(name)


def flat_name(name: str) -> str:
    """The name of a sample in formats without folders: `trip/1` → `trip_1`."""
    return name.replace("/", "_")
