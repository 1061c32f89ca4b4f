"""`Scores`: the scores of a comparison as one list of figures. Tables, JSON and charts are made from the list, so a new
figure is in all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ..dataset.split import check_seed
from ..errors import UserError
from ..files.messages import plural
from ..metrics.scores import FEWEST, Figure, labelled, with_often_shown
from .protocols import Protocol
from .tables import BEHIND, ScoreTable, Value

SECTIONS = {"group": "groups", "class": "per_class"}
"""Kind of a row → the key of JSON files under which such rows are."""


class ScoreRow(NamedTuple):
    """The figures of one name. Rows of one kind differ in their names; a class may be called like a group or a mean."""

    kind: Literal["whole", "group", "class"]
    """What is scored: the whole set, some of its classes, or one class."""
    figures: Mapping[str, Figure]
    """What a figure is, such as "boundary IoU" → the figure. The first has an interval in tables, and is compared with
    other predictions."""
    measured: bool = True
    """False: nobody asked for it. The figures are NaN, and tables leave the row out."""

    @property
    def first(self) -> Figure:
        return next(iter(self.figures.values()))


def whole(figure: Figure, measured: bool = True) -> ScoreRow:
    """A row for a score of the whole set, which has its own name."""
    return ScoreRow("whole", {figure.name: figure}, measured)


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images, in [0, 1], with 95 % intervals of a bootstrap over images."""

    protocol: Protocol
    rows: Sequence[ScoreRow]
    """The classes, the groups and the whole set, in the order of tables."""
    counts: np.ndarray
    """(I, 3, C) int64: true positives, false positives and false negatives of each class in each image, in pixels."""
    seed: int

    def named(self, kind: str) -> dict[str, Figure]:
        """Name → first figure of the rows of a kind: "class": each class's IoU, in the order of ids, NaN if it is
        neither in the truth nor predicted; "group": the mean IoU of each group, and `harmonic`, if the protocol has
        one; "whole": mIoU, pixel accuracy and so on."""
        return {row.first.name: row.first for row in self.rows if row.kind == kind}

    @property
    def per_class(self) -> dict[str, Figure]:
        """Class → IoU, in the order of ids; NaN for a class that is neither in the truth nor predicted."""
        return self.named("class")

    @property
    def miou(self) -> Figure:
        """The mean IoU over the protocol's counted classes that are in the truth or predicted."""
        return self.named("whole")["mIoU"]

    @property
    def measured(self) -> list[ScoreRow]:
        return [row for row in self.rows if row.measured]

    @property
    def pixels(self) -> np.ndarray:
        """(C,) int64: the number of each class's pixels in the truth. Ignored pixels are not counted."""
        return labelled(self.counts.sum(0))

    def keyed(self, **counts: np.ndarray) -> dict[str, Any]:
        """The figures by their keys in JSON files: boundary IoU → `boundary_iou`. counts: key → (C,), further values of
        each class."""
        made: dict[str, Any] = {}
        sections: dict[str, Any] = {}
        for row in self.rows:
            place = made
            if row.kind != "whole":
                place = sections.setdefault(SECTIONS[row.kind], {}).setdefault(row.first.name, {})
            for what, figure in row.figures.items():
                place |= figure.keyed(what.lower().replace(" ", "_"))
        for key, values in counts.items():
            for name, value in zip(self.protocol.classes, values.tolist(), strict=True):
                sections[SECTIONS["class"]][name][key] = value
        return {**made, **sections}

    def about(self) -> dict[str, Any]:
        """What was scored, for JSON files: the numbers of counted images and pixels, and so on."""
        pixels = int(self.pixels.sum())
        return {"protocol": self.protocol.name, "images": len(self.counts), "pixels": pixels, "seed": self.seed}

    @property
    def title(self) -> str:
        """The title of tables."""
        images, pixels = plural(len(self.counts), "image"), int(self.pixels.sum())
        return f"protocol {self.protocol.name}, {images}, {pixels:,} pixels"

    def name_of(self, kind: str, figure: Figure) -> str:
        """The name of a row in tables."""
        if kind == "class" and figure.name not in self.protocol.counted:
            return f"{figure.name} (not in the mean)"
        if kind != "class" and figure.name in self.protocol.classes:
            return f"{figure.name} (mean)"
        return figure.name

    def score_table(self, share: str) -> ScoreTable:
        """A row for each class in the truth or the predictions, then the means. share: the heading of the classes'
        shares of the pixels."""
        shares = dict(zip(self.protocol.classes, (self.pixels / self.pixels.sum()).tolist(), strict=True))
        _, *heads = self.rows[0].figures
        rows: list[Sequence[Value]] = []
        sums: list[Sequence[Value]] = []
        for kind, figures, _ in self.measured:
            first, *others = figures.values()
            if kind != "class":
                for figure in with_often_shown([first]):
                    sums.append((self.name_of(kind, figure), *cells(figure), *[""] * len(heads), ""))
            elif not math.isnan(first.value):
                values = (other.value for other in others)
                rows.append((self.name_of(kind, first), *cells(first), *values, shares[first.name]))
        return ScoreTable(self.title, ("IoU", *BEHIND, *heads, share), rows, sums)


class Compared(NamedTuple):
    """A score of two predictions; a mean is over the classes that both have."""

    kind: str
    """As in `ScoreRow`."""
    one: Figure
    other: Figure
    difference: Figure


def compare(scores: Scores, others: Scores) -> list[Compared]:
    """The first figures of all rows of two predictions for the same images, with their paired differences."""
    found: list[Compared] = []
    for row, other in zip(scores.measured, others.measured, strict=True):
        pair = [with_often_shown([figure]) for figure in row.first.of_same_classes(other.first)]
        for one, two in zip(*pair, strict=True):
            found.append(Compared(row.kind, one, two, one.minus(two)))
    return found


def cells(figure: Figure) -> Sequence[Value]:
    """The cells of a score: its value, its interval and the number of pictures; for a mean, the lowest number."""
    return figure.value, figure.ci95, f"{'≥ ' * bool(figure.parts)}{figure.pictures}"


def without_interval(ious: Iterable[Figure]) -> list[str]:
    """A sentence that names the classes without an interval; [] if all have one. ious: of the classes."""
    few = [f"{iou.name} ({iou.pictures})" for iou in ious if iou.pictures < FEWEST and not math.isnan(iou.value)]
    return [f"Without interval, because fewer than {FEWEST} pictures show them: {', '.join(few)}."] * bool(few)


def check_bootstrap(seed: int, draws: int) -> None:
    """Raise UserError for a seed below 0, or no draws."""
    check_seed(seed)
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
