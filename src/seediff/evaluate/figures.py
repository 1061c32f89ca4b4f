"""`Scores`: the scores of a comparison as one list, from which tables, JSON, charts and comparisons are made. A new
`Measure` is in all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from ..dataset.split import check_seed
from ..errors import UserError
from ..files.messages import plural
from ..metrics.scores import (
    FEWEST,
    MEASURES,
    Counted,
    Figure,
    Measure,
    accuracy,
    labelled,
    mean_figure,
    resample,
    with_often_shown,
)
from .protocols import Protocol
from .tables import CI95, ScoreTable, Value

TINY = np.finfo(np.float64).tiny
SECTIONS = {"group": "groups", "class": "per_class"}
"""Kind of a score → the key of JSON files under which such scores are."""


class Score(NamedTuple):
    """One score. A class may be called like a group or a mean."""

    kind: Literal["whole", "group", "class"]
    """What is scored: the whole set, some of its classes, or one class."""
    measure: str
    """What is measured, such as "IoU" of a class, and "mIoU" of a group or the whole set."""
    figure: Figure
    """Its name is that of the class or group; of the whole set, that of what is measured."""
    column: int = 0
    """The measure's column in tables."""


def score_all(
    protocol: Protocol, counts: Mapping[Counted, np.ndarray], *, accuracy_name: str | None, seed: int, draws: int
) -> list[Score]:
    """The scores of a set by all measures whose pixels were counted: first of the classes, then the means.

    counts: which pixels → (I, 3, C), of each image. accuracy_name: the name of the share of pixels with the right
    class; None: without it. seed, draws: of the bootstrap.
    """
    drawn = {which: resample(counted, seed=seed, draws=draws) for which, counted in counts.items()}
    classes: list[Score] = []
    groups: list[Score] = []
    whole: list[Score] = []
    for column, measure in enumerate(measure for measure in MEASURES if measure.counted in counts):
        scores = drawn[measure.counted].of_classes(protocol.classes, measure)
        classes += [Score("class", measure.name, score, column) for score in scores.values()]
        groups += [Score("group", measure.mean, mean, column) for mean in group_means(protocol, scores)]
        mean = mean_figure(measure.mean, [scores[name] for name in protocol.counted])
        whole.append(Score("whole", measure.mean, mean, column))
    if accuracy_name:
        whole.insert(1, Score("whole", accuracy_name, drawn["all"].of_all(accuracy_name, accuracy)))
    return [*classes, *groups, *whole]


def group_means(protocol: Protocol, scores: Mapping[str, Figure]) -> list[Figure]:
    """The mean score of each of a protocol's groups, and the harmonic mean of two of them, if it has one. scores:
    class → score."""
    groups = {name: mean_figure(name, [scores[one] for one in members]) for name, members in protocol.groups.items()}
    means = list(groups.values())
    if protocol.harmonic:
        means.append(mean_figure("harmonic", [groups[name] for name in protocol.harmonic], _harmonic))
    return means


def _harmonic(both: np.ndarray) -> np.ndarray:
    """(…): the harmonic mean of two scores (…, 2), 0 where both are 0."""
    total = both.sum(-1)
    return np.where(total > 0, 2 * both.prod(-1) / np.maximum(total, TINY), total)


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images, in [0, 1], with 95 % intervals of a bootstrap over images."""

    protocol: Protocol
    scores: Sequence[Score]
    """Those of the classes, the groups and the whole set."""
    counts: np.ndarray
    """(I, 3, C) int64: true positives, false positives and false negatives of each class in each image, in pixels."""
    seed: int

    def named(self, kind: str, column: int = 0) -> dict[str, Figure]:
        """Name → figure of the scores of a kind. "class": each class's IoU, in the order of ids, NaN if it is neither
        in the truth nor predicted; "group": the mean IoU of each group, and `harmonic`, if the protocol has one.
        column: of another measure."""
        return {score.figure.name: score.figure for score in self.scores if score[::3] == (kind, column)}

    @property
    def per_class(self) -> dict[str, Figure]:
        """Class → IoU, in the order of ids; NaN for a class that is neither in the truth nor predicted."""
        return self.named("class")

    @property
    def whole(self) -> dict[str, Figure]:
        """What is measured of the whole set, such as "mIoU" → its figure."""
        return {score.measure: score.figure for score in self.scores if score.kind == "whole"}

    @property
    def miou(self) -> Figure:
        """The mean IoU over the protocol's counted classes that are in the truth or predicted."""
        return self.whole["mIoU"]

    @property
    def measures(self) -> list[Measure]:
        """The measures, in the order of columns."""
        names = {score.measure for score in self.scores if score.kind == "class"}
        return [measure for measure in MEASURES if measure.name in names]

    @property
    def pixels(self) -> np.ndarray:
        """(C,) int64: the number of each class's pixels in the truth. Ignored pixels are not counted."""
        return labelled(self.counts.sum(0))

    def keyed(self, **counts: np.ndarray) -> dict[str, Any]:
        """The figures by their keys in JSON files: boundary IoU → `boundary_iou`. counts: key → (C,), further values of
        each class."""
        made: dict[str, Any] = {}
        sections: dict[str, Any] = {}
        for score in self.scores:
            place = made
            if score.kind != "whole":
                place = sections.setdefault(SECTIONS[score.kind], {}).setdefault(score.figure.name, {})
            place |= score.figure.keyed(score.measure.lower().replace(" ", "_"))
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
        """The name of a score in tables."""
        if kind == "class" and figure.name not in self.protocol.counted:
            return f"{figure.name} (not in the mean)"
        if kind != "class" and figure.name in self.protocol.classes:
            return f"{figure.name} (mean)"
        return figure.name

    def cells(self, figures: Mapping[int, Figure]) -> list[Value]:
        """The cells of a row of a table, under `table_heads`. figures: column → figure."""
        shown: list[Value] = []
        for column in range(len(self.measures)):
            figure = figures.get(column)
            shown += ["", ""] if figure is None else [figure.value, figure.ci95]
            if not column:
                shown.append(count_cell(next(iter(figures.values()))))
        return shown

    def score_table(self, share: str) -> ScoreTable:
        """A row for each class in the truth or the predictions, then the means. share: the heading of the classes'
        shares of the pixels."""
        shares = dict(zip(self.protocol.classes, (self.pixels / self.pixels.sum()).tolist(), strict=True))
        rows: dict[str, dict[int, Figure]] = {}
        sums: dict[str, dict[int, Figure]] = {}
        for kind, _, figure, column in self.scores:
            if kind != "class":
                for mean in with_often_shown([figure]):
                    sums.setdefault(self.name_of(kind, mean), {})[column] = mean
            elif not math.isnan(self.per_class[figure.name].value):
                rows.setdefault(figure.name, {})[column] = figure
        return ScoreTable(
            self.title,
            (*table_heads(measure.name for measure in self.measures), share),
            [(self.name_of("class", row[0]), *self.cells(row), shares[name]) for name, row in rows.items()],
            [(name, *self.cells(row), "") for name, row in sums.items()],
        )


class Compared(NamedTuple):
    """A score of two predictions; a mean is over the classes that both have."""

    kind: str
    """As in `Score`, like the next two."""
    measure: str
    column: int
    one: Figure
    other: Figure
    difference: Figure


def compare(scores: Scores, others: Scores) -> list[Compared]:
    """All scores of two predictions for the same images, with their paired differences."""
    found: list[Compared] = []
    for (kind, measure, figure, column), score in zip(scores.scores, others.scores, strict=True):
        pair = [with_often_shown([one]) for one in figure.of_same_classes(score.figure)]
        for one, two in zip(*pair, strict=True):
            found.append(Compared(kind, measure, column, one, two, one.minus(two)))
    return found


def table_heads(names: Iterable[str]) -> list[str]:
    """The headings of `Scores.cells`. names: of the columns."""
    first, *others = names
    heads = [first, CI95, "pictures"]
    for name in others:
        heads += [name, f"{name}, {CI95}"]
    return heads


def count_cell(figure: Figure) -> str:
    """The cell with a score's number of pictures; for a mean, the lowest number."""
    return f"{'≥ ' * bool(figure.parts)}{figure.pictures}"


def without_interval(*sets: Scores) -> list[str]:
    """Sentences that name the classes without an interval; [] if all have one."""
    lines: list[str] = []
    said: set[str] = set()
    for column, measure in enumerate(sets[0].measures):
        figures = {name: figure for scores in sets for name, figure in scores.named("class", column).items()}
        few = [f"{name} ({figure.pictures})" for name, figure in figures.items() if _is_rare(figure)]
        about = ", ".join(few)
        if few and about not in said:
            begin = f"{measure.name}: without" if column else "Without"
            lines.append(f"{begin} interval, because fewer than {FEWEST} pictures show them: {about}.")
        said.add(about)
    return lines


def _is_rare(figure: Figure) -> bool:
    return figure.pictures < FEWEST and not math.isnan(figure.value)


def check_bootstrap(seed: int, draws: int) -> None:
    """Raise UserError for a seed below 0, or no draws."""
    check_seed(seed)
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
