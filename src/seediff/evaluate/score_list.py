"""`Scores`: the scores of a comparison as one list, from which tables, JSON, charts and comparisons are made. A new
`Measure` is in all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from ..config.fields import check_seed
from ..errors import UserError
from ..files.messages import plural
from ..metrics.scores import FEWEST, MEASURES, Counted, Estimate, Measure, accuracy, labelled, mean_estimate, resample
from .protocols import Protocol
from .tables import BEHIND, ScoreTable, Value

TINY = np.finfo(np.float64).tiny
SECTIONS = {"group": "groups", "class": "per_class"}
"""Kind of a score → the key of JSON files under which such scores are."""


class Score(NamedTuple):
    """One score. A class may be called like a group or a mean."""

    kind: Literal["whole", "group", "class"]
    """What is scored: the whole set, some of its classes, or one class."""
    quantity: str
    """What the estimate is, such as "IoU" of a class, and "mIoU" of a group or the whole set."""
    estimate: Estimate
    """Its name is that of the class or group; of the whole set, the quantity."""
    measure: Measure
    """The measure in whose table the score is. The accuracy is in the table of IoU."""


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
    for measure in MEASURES:
        if measure.counted not in counts:
            continue
        scores = drawn[measure.counted].of_classes(protocol.classes, measure)
        classes += [Score("class", measure.name, score, measure) for score in scores.values()]
        groups += [Score("group", measure.mean, mean, measure) for mean in group_means(protocol, scores)]
        mean = mean_estimate(measure.mean, [scores[name] for name in protocol.counted])
        whole.append(Score("whole", measure.mean, mean, measure))
        if accuracy_name and measure is MEASURES[0]:
            right = drawn[measure.counted].of_all(accuracy_name, accuracy)
            whole.append(Score("whole", accuracy_name, right, measure))
    return [*classes, *groups, *whole]


def group_means(protocol: Protocol, scores: Mapping[str, Estimate]) -> list[Estimate]:
    """The mean score of each of a protocol's groups, and the harmonic mean of two of them, if it has one. scores:
    class → score."""
    groups = {name: mean_estimate(name, [scores[one] for one in members]) for name, members in protocol.groups.items()}
    means = list(groups.values())
    if protocol.harmonic:
        means.append(mean_estimate("harmonic", [groups[name] for name in protocol.harmonic], _harmonic))
    return means


def _harmonic(both: np.ndarray) -> np.ndarray:
    """(…): the harmonic mean of two scores (…, 2), 0 where both are 0."""
    total = both.sum(-1)
    return np.where(total > 0, 2 * both.prod(-1) / np.maximum(total, TINY), total)


@dataclass(frozen=True)
class Scores:
    """The scores of a set of images, in [0, 1], with 95 % intervals of a bootstrap over images."""

    protocol: Protocol
    entries: Sequence[Score]
    """Those of the classes, the groups and the whole set."""
    counts: np.ndarray
    """(I, 3, C) int64: true positives, false positives and false negatives of each class in each image, in pixels."""
    seed: int

    def of(self, measure: Measure) -> list[Score]:
        """The scores in the table of a measure."""
        return [score for score in self.entries if score.measure == measure]

    def named(self, kind: str, measure: Measure = MEASURES[0]) -> dict[str, Estimate]:
        """Name → estimate of the scores of a kind by a measure, IoU by default. "class": each class's, in the order of
        ids, NaN if it is neither in the truth nor predicted; "group": the mean of each group, and `harmonic`, if the
        protocol has one."""
        return {score.estimate.name: score.estimate for score in self.of(measure) if score.kind == kind}

    @property
    def per_class(self) -> dict[str, Estimate]:
        """Class → IoU, in the order of ids; NaN for a class that is neither in the truth nor predicted."""
        return self.named("class")

    @property
    def whole(self) -> dict[str, Estimate]:
        """What is measured of the whole set, such as "mIoU" → its estimate."""
        return {score.quantity: score.estimate for score in self.entries if score.kind == "whole"}

    @property
    def miou(self) -> Estimate:
        """The mean IoU over the protocol's counted classes that are in the truth or predicted."""
        return self.whole["mIoU"]

    @property
    def measures(self) -> list[Measure]:
        """The measures, in the order of tables."""
        return list(dict.fromkeys(score.measure for score in self.entries))

    @property
    def pixels(self) -> np.ndarray:
        """(C,) int64: the number of each class's pixels in the truth. Ignored pixels are not counted."""
        return labelled(self.counts.sum(0))

    def keyed(self, **counts: np.ndarray) -> dict[str, Any]:
        """The estimates by their keys in JSON files: boundary IoU → `boundary_iou`. counts: key → (C,), more values of
        each class."""
        made: dict[str, Any] = {}
        sections: dict[str, Any] = {}
        for score in self.entries:
            place = made
            if score.kind != "whole":
                place = sections.setdefault(SECTIONS[score.kind], {}).setdefault(score.estimate.name, {})
            place |= keyed(score.estimate, score.quantity.lower().replace(" ", "_"))
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
        images = plural(len(self.counts), "image")
        pixels = int(self.pixels.sum())
        protocol = "" if self.protocol.name == "own" else f", protocol {self.protocol.name}"
        return f"{images}, {pixels:,} pixels{protocol}"

    def name_of(self, kind: str, estimate: Estimate) -> str:
        """The name of a score in tables."""
        if kind == "class" and estimate.name not in self.protocol.counted:
            return f"{estimate.name} (not in the mean)"
        if kind != "class" and estimate.name in self.protocol.classes:
            return f"{estimate.name} (mean)"
        return estimate.name

    def score_tables(self, share: str) -> list[ScoreTable]:
        """A table for each measure: a row for each class in the truth or the predictions, then the means. share: the
        heading of the classes' shares of the pixels."""
        shares = dict(zip(self.protocol.classes, (self.pixels / self.pixels.sum()).tolist(), strict=True))
        tables: list[ScoreTable] = []
        for measure in self.measures:
            rows: list[Row] = []
            for score in self.of(measure):
                for each in (score.estimate, *often_shown(score.estimate)):
                    of_class = shares[each.name] if score.kind == "class" else ""
                    name = self.name_of(score.kind, each)
                    rows.append((score.kind, [each.value], (name, *cells(each), of_class)))
            tables.append(score_table(self.title, (measure.name, *BEHIND, share), rows))
        return tables


def often_shown(*scores: Estimate) -> tuple[Estimate, ...]:
    """Means over the classes that at least FEWEST pictures show; nothing if these are all classes, or fewer than two,
    or if the scores are no means. scores: the same score of one or more predictions; means must be of the same classes
    (`of_same_classes`)."""
    classes = [score.classes for score in scores]
    often = [name for name in classes[0] if all(of[name].pictures >= FEWEST for of in classes)]
    if not 1 < len(often) < len(classes[0]):
        return ()
    about = f"mean of the {plural(len(often), 'class')} that {FEWEST} or more images show"
    return tuple(score.over(often)._replace(name=f"{score.name}: {about}") for score in scores)


def keyed(score: Estimate, key: str) -> dict[str, Any]:
    """The keys of JSON files: for "miou", the value `miou`, its interval `miou_ci95` and `miou_images`; and
    `miou_often_shown` with these keys, if there is such a mean."""
    often = {f"{key}_often_shown": keyed(mean, key) for mean in often_shown(score)}
    return {key: score.value, f"{key}_ci95": score.ci95, f"{key}_images": score.pictures, **often}


class Compared(NamedTuple):
    """A score of two predictions; a mean is over the classes that both have."""

    kind: str
    quantity: str
    """Both as in `Score`."""
    one: Estimate
    other: Estimate
    difference: Estimate


def compare(scores: Sequence[Score], others: Sequence[Score]) -> list[Compared]:
    """Scores of two predictions for the same images, with their paired differences."""
    found: list[Compared] = []
    for score, same in zip(scores, others, strict=True):
        pairs: list[tuple[Estimate, ...]] = [score.estimate.of_same_classes(same.estimate)]
        often = often_shown(*pairs[0])
        if often:
            pairs.append(often)
        for one, other in pairs:
            found.append(Compared(score.kind, score.quantity, one, other, one.minus(other)))
    return found


Row = tuple[str, Sequence[float], Sequence[Value]]
"""(kind, values, cells) of a row of a table: what is scored, as in `Score`, its scores, and what the row shows."""


def score_table(title: str, columns: Sequence[str], rows: Iterable[Row]) -> ScoreTable:
    """A table with the rows of classes, without those that have no score, and below a line those of means."""
    classes: list[Sequence[Value]] = []
    means: list[Sequence[Value]] = []
    for kind, values, shown in rows:
        if kind != "class":
            means.append(shown)
        elif not all(map(math.isnan, values)):
            classes.append(shown)
    return ScoreTable(title, columns, classes, means)


def cells(estimate: Estimate) -> Sequence[Value]:
    """The cells of a score: its value, its interval and the number of pictures; for a mean, the lowest number."""
    pictures = str(estimate.pictures)
    if estimate.parts:
        pictures = f"≥ {pictures}"
    return estimate.value, estimate.ci95, pictures


def without_interval(*sets: Scores) -> list[str]:
    """Sentences that name the classes without an interval; [] if all have one."""
    lines: list[str] = []
    said: set[str] = set()
    for measure in sets[0].measures:
        estimates: dict[str, Estimate] = {}
        for scores in sets:
            estimates |= scores.named("class", measure)
        few = [f"{name} ({estimate.pictures})" for name, estimate in estimates.items() if _is_rare(estimate)]
        more = [about for about in few if about not in said]
        if more:
            begin = "Without" if measure == MEASURES[0] else f"{measure.name}: without"
            lines.append(f"{begin} interval, because fewer than {FEWEST} images show them: {', '.join(more)}.")
        said.update(more)
    return lines


def _is_rare(estimate: Estimate) -> bool:
    return estimate.pictures < FEWEST and not math.isnan(estimate.value)


def as_json(scores: object) -> Any:
    """Scores as JSON values. scores: dataclasses, dicts and tuples, nested in any way; NaN becomes None."""
    return json.loads(msgspec.json.encode(scores))


def check_bootstrap(seed: int, draws: int) -> None:
    """Raise UserError for a seed below 0, or no draws."""
    check_seed(seed)
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
