"""Scores predictions with classes against truths: one image in memory at a time, scores of the whole set with intervals
at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..dataset.split import check_seed
from ..errors import UserError
from ..files.outputs import write_atomic
from ..metrics.boundary import boundary_counts
from ..metrics.confusion import Confusion
from ..metrics.scores import class_iou, interval, mean_iou, resample
from .protocols import Protocol
from .tables import Interval

TINY = np.finfo(np.float64).tiny


class Figure(NamedTuple):
    """One number of an evaluation, and what it is in each draw of the bootstrap."""

    name: str
    value: float
    drawn: np.ndarray
    """(D,)"""

    @property
    def ci95(self) -> Interval:
        """The interval of the draws."""
        return interval(self.drawn)

    def minus(self, other: Figure) -> Figure:
        """The difference from the same figure of other predictions for the same images, over the same draws."""
        return Figure(self.name, self.value - other.value, self.drawn - other.drawn)


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class: IoU and boundary IoU in [0, 1], NaN for a class that is neither in the truth nor
    predicted; and the number of its pixels in the truth."""

    iou: float
    iou_ci95: Interval
    boundary_iou: float
    pixels: int


@dataclass(frozen=True)
class GroupScore:
    """The mean IoU, in [0, 1], of those classes of a group that are in the truth or predicted, and its interval."""

    miou: float
    miou_ci95: Interval


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation. Scores are in [0, 1]; intervals (low, high) are 95 % of a bootstrap over images."""

    protocol: Protocol
    miou: float
    """The mean IoU over the protocol's counted classes that are in the truth or predicted."""
    miou_ci95: Interval
    pixel_accuracy: float
    pixel_accuracy_ci95: Interval
    boundary_miou: float
    """NaN if it was not requested."""
    groups: Mapping[str, GroupScore]
    """The protocol's groups, and `harmonic` if it has one."""
    per_class: Mapping[str, ClassScore]
    """By name, in the order of ids."""
    images: Mapping[str, float]
    """The mean IoU of each image by itself; NaN without a counted class."""
    pixels: int
    """The number of pixels that count."""
    seed: int
    bootstrap: int
    """The number of draws."""
    confusion: np.ndarray
    """`Confusion.table`."""
    figures: Sequence[Figure]
    """Each class's IoU, in the order of `per_class`; then those of the groups, mIoU and pixel accuracy."""

    def table(self) -> dict[str, Any]:
        """The scores as JSON values, with null for NaN; `images` is the number of images."""
        shown = {"protocol": self.protocol.name, "counted": self.protocol.counted, "images": len(self.images)}
        scores = {name: value for name, value in vars(self).items() if name not in ("confusion", "figures")}
        return as_json({**scores, **shown})


def evaluate_pairs(
    pairs: Iterable[tuple[str, np.ndarray, np.ndarray]],
    protocol: Protocol,
    *,
    seed: int = 0,
    bootstrap: int = 1000,
    boundary: bool = True,
) -> Scores:
    """The scores of pairs: (name, predicted, truth) of every image, with maps (H, W) uint8 of the protocol's ids or
    255, as explained in `metrics.confusion`.

    seed, bootstrap: seed and number of the draws of whole images for the intervals. boundary: also measure boundary
    IoU, which takes most of the time. Raises UserError for maps that cannot be compared, and without any pair.
    """
    confusion = Confusion(len(protocol.classes))
    shared, joined = np.zeros((2, len(protocol.classes)), np.int64)
    counted = _columns(protocol, protocol.counted)
    images: dict[str, float] = {}
    for name, predicted, truth in pairs:
        try:
            counts = confusion.add(predicted, truth)
        except ValueError as error:
            raise UserError(name, str(error)) from error
        images[name] = float(mean_iou(counts.iou[counted]))
        if boundary:
            inter, union = boundary_counts(predicted, truth, len(protocol.classes))
            shared += inter
            joined += union
    if not len(confusion):
        raise UserError("there are no images to evaluate")
    if not confusion.table.any():
        raise UserError(f"no pixel of the {len(confusion)} truths counts in protocol {protocol.name}: all are ignored")
    boundary_iou = class_iou(shared, joined - shared, np.zeros_like(shared))
    return _score(confusion, boundary_iou, protocol, images, seed, bootstrap)


def _score(
    confusion: Confusion,
    boundary_iou: np.ndarray,
    protocol: Protocol,
    images: Mapping[str, float],
    seed: int,
    draws: int,
) -> Scores:
    """All scores, from the images' counts. images: as in `Scores`."""
    tallies = confusion.tallies()
    whole, drawn = tallies.total(), resample(tallies, seed=seed, draws=draws)
    iou, iou_drawn = whole.iou, drawn.iou

    def mean(name: str, classes: Sequence[str]) -> Figure:
        """The mean IoU of some classes."""
        columns = _columns(protocol, classes)
        return Figure(name, float(mean_iou(iou[columns])), mean_iou(iou_drawn[:, columns]))

    ious = [Figure(*each) for each in zip(protocol.classes, iou.tolist(), iou_drawn.T, strict=True)]
    groups = {name: mean(name, members) for name, members in protocol.groups.items()}
    if protocol.harmonic:
        one, other = (groups[name] for name in protocol.harmonic)
        value = float(_harmonic(one.value, other.value))
        groups["harmonic"] = Figure("harmonic", value, _harmonic(one.drawn, other.drawn))
    miou = mean("mIoU", protocol.counted)
    accuracy = Figure("pixel accuracy", float(whole.accuracy), drawn.accuracy)

    pixels = (whole.tp + whole.fn).tolist()
    per_class: dict[str, ClassScore] = {}
    for figure, boundary, count in zip(ious, boundary_iou.tolist(), pixels, strict=True):
        per_class[figure.name] = ClassScore(figure.value, figure.ci95, boundary, count)
    return Scores(
        protocol=protocol,
        miou=miou.value,
        miou_ci95=miou.ci95,
        pixel_accuracy=accuracy.value,
        pixel_accuracy_ci95=accuracy.ci95,
        boundary_miou=float(mean_iou(boundary_iou[_columns(protocol, protocol.counted)])),
        groups={name: GroupScore(group.value, group.ci95) for name, group in groups.items()},
        per_class=per_class,
        images=images,
        pixels=int(whole.pixels),
        seed=seed,
        bootstrap=draws,
        confusion=confusion.table,
        figures=(*ious, *groups.values(), miou, accuracy),
    )


def _harmonic(first: Any, second: Any) -> np.ndarray:
    """2ab / (a + b), 0 where both are 0."""
    total = first + second
    return np.where(total > 0, 2 * first * second / np.maximum(total, TINY), total)


def _columns(protocol: Protocol, names: Sequence[str]) -> list[int]:
    return [protocol.classes.index(name) for name in names]


def check_bootstrap(seed: int, draws: int) -> None:
    """Raise UserError for a seed below 0, or no draws."""
    check_seed(seed)
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")


def as_json(scores: object) -> Any:
    """Scores, in dataclasses of any nesting, as JSON values; NaN becomes None."""
    return json.loads(msgspec.json.encode(scores))


def write_json(scores: object, path: Path) -> None:
    """Write scores as JSON, atomically; missing folders are created."""
    write_atomic(path, (json.dumps(as_json(scores), indent=2, ensure_ascii=False) + "\n").encode("utf-8"))
