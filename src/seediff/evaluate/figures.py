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
"""Kind of a score → the key of JSON files under which such scores are."""


class Score(NamedTuple):
    """A figure with its place. Figures of one kind differ in their names, or in what they are: a class may be called
    like a group or a mean."""

    kind: Literal["whole", "group", "class"]
    """What is scored: the whole set, some of its classes, or one class."""
    figure: Figure
    """Its name is the class's, the group's, or for the whole set what the score is."""
    what: str = ""
    """What the score is, such as "boundary IoU"; for the whole set, the figure's name."""
    measured: bool = True
    """False: nobody asked for it. The figure is NaN, and tables have no row for it."""

    @property
    def key(self) -> str:
        """The score's key in JSON files: boundary IoU → `boundary_iou`."""
        return (self.what or self.figure.name).lower().replace(" ", "_")


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images, in [0, 1], with 95 % intervals of a bootstrap over images."""

    protocol: Protocol
    figures: Sequence[Score]
    """The groups, the whole set and the classes, in the order of tables. The first score of a class is its IoU."""
    counts: np.ndarray
    """(I, 3, C) int64: true positives, false positives and false negatives of each class in each image, in pixels."""

    def named(self, kind: str, what: str) -> dict[str, Figure]:
        """Name → figure, of one kind. what: as in `Score`."""
        found = [one for one in self.figures if one.kind == kind]
        return {one.figure.name: one.figure for one in found if (one.what or one.figure.name) == what}

    def whole(self, name: str) -> Figure:
        """A score of the whole set, such as "pixel accuracy" or "boundary mIoU"."""
        return self.named("whole", name)[name]

    @property
    def miou(self) -> Figure:
        """The mean IoU over the protocol's counted classes that are in the truth or predicted."""
        return self.whole("mIoU")

    @property
    def groups(self) -> dict[str, Figure]:
        """Name → mean IoU of each of the protocol's groups; and `harmonic`, the harmonic mean of two groups, if the
        protocol has one."""
        return self.named("group", "mIoU")

    @property
    def per_class(self) -> dict[str, Figure]:
        """Class → IoU, in the order of ids; NaN for a class that is neither in the truth nor predicted."""
        return self.named("class", "IoU")

    @property
    def pixels(self) -> np.ndarray:
        """(C,) int64: the number of each class's pixels in the truth. Ignored pixels are not counted."""
        return labelled(self.counts.sum(0))

    @property
    def means(self) -> list[Score]:
        """The measured scores of groups and of the whole set."""
        return [one for one in self.figures if one.kind != "class" and one.measured]

    def row_name(self, kind: str, name: str) -> str:
        """The name of a score in tables."""
        if kind == "class" and name not in self.protocol.counted:
            return f"{name} (not in the mean)"
        if kind != "class" and name in self.protocol.classes:  # a class may be called `objects`
            return f"{name} (mean)"
        return name

    def keyed(self, **counts: np.ndarray) -> dict[str, Any]:
        """The figures by their keys in JSON files. counts: key → (C,), further values of each class."""
        made: dict[str, Any] = {}
        for one in self.figures:
            place = made
            if one.kind != "whole":
                place = made.setdefault(SECTIONS[one.kind], {}).setdefault(one.figure.name, {})
            place |= one.figure.keyed(one.key)
        for key, values in counts.items():
            for name, value in zip(self.protocol.classes, values.tolist(), strict=True):
                made[SECTIONS["class"]][name][key] = value
        return made

    def score_table(self, share: str) -> ScoreTable:
        """A row for each class in the truth or the predictions, then the means. share: the heading of the classes'
        shares of the pixels."""
        heads = list(dict.fromkeys(one.what for one in self.figures if one.kind == "class"))
        columns = (self.named("class", head).values() for head in heads)
        shares = (self.pixels / self.pixels.sum()).tolist()
        rows: list[Sequence[Value]] = []
        for iou, *others, pixels in zip(*columns, shares, strict=True):
            if not math.isnan(iou.value):
                rows.append((self.row_name("class", iou.name), *cells(iou), *(each.value for each in others), pixels))
        sums: list[Sequence[Value]] = []
        for one in self.means:
            for figure in with_often_shown([one.figure]):
                sums.append((self.row_name(one.kind, figure.name), *cells(figure), *[""] * len(heads)))
        return ScoreTable(self.title, (heads[0], *BEHIND, *heads[1:], share), rows, sums)

    @property
    def title(self) -> str:
        """The title of tables."""
        images, pixels = plural(len(self.counts), "image"), int(self.pixels.sum())
        return f"protocol {self.protocol.name}, {images}, {pixels:,} pixels"


def class_scores(what: str, figures: Mapping[str, Figure]) -> list[Score]:
    """The scores of classes. what: what they are, such as "IoU". figures: class → figure."""
    return [Score("class", figure, what) for figure in figures.values()]


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
