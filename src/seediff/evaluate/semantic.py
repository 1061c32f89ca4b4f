"""Scores predictions with classes against truths: one image in memory at a time, scores of the whole set with intervals
at the end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from ..files.outputs import write_atomic
from ..metrics.bootstrap import interval
from ..metrics.boundary import boundary_counts
from ..metrics.confusion import Confusion
from ..metrics.scores import Tallies, accuracy, class_iou, mean_iou, resample
from .protocols import Protocol

if TYPE_CHECKING:
    from rich.table import Table

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassScore:
    """One class: IoU and boundary IoU in [0, 1], NaN where it is neither in the truth nor predicted; its pixels in the
    truth.
    """

    iou: float
    iou_ci95: Interval
    boundary_iou: float
    pixels: int


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation. Scores are in [0, 1]; intervals (low, high) are 95 % of a bootstrap over images.

    miou, interval: mean IoU over the protocol's counted classes that are in the truth or predicted. boundary_miou: NaN
    if not requested. classes: by name, in the order of ids. groups: mean and interval of each group, and `harmonic` if
    the protocol has one. images: the mean IoU of each image by itself; NaN without a counted class. pixels: the number
    that count.
    """

    protocol: Protocol
    miou: float
    interval: Interval
    pixel_accuracy: float
    pixel_accuracy_ci95: Interval
    boundary_miou: float
    classes: Mapping[str, ClassScore]
    groups: Mapping[str, tuple[float, Interval]]
    images: Mapping[str, float]
    pixels: int
    seed: int
    bootstrap: int

    @property
    def per_class(self) -> dict[str, float]:
        return {name: score.iou for name, score in self.classes.items()}

    def table(self) -> dict[str, Any]:
        """The scores as JSON values, with null for NaN; `images` is their number."""
        record = {
            "protocol": self.protocol.name,
            "miou": self.miou,
            "miou_ci95": self.interval,
            "pixel_accuracy": self.pixel_accuracy,
            "pixel_accuracy_ci95": self.pixel_accuracy_ci95,
            "boundary_miou": self.boundary_miou,
            "groups": {name: {"miou": mean, "miou_ci95": bounds} for name, (mean, bounds) in self.groups.items()},
            "counted": self.protocol.counted,
            "per_class": {name: vars(score) for name, score in self.classes.items()},
            "images": len(self.images),
            "pixels": self.pixels,
            "seed": self.seed,
            "bootstrap": self.bootstrap,
        }
        return plain(record)


def evaluate_pairs(
    pairs: Iterable[tuple[str, np.ndarray, np.ndarray]],
    protocol: Protocol,
    *,
    seed: int = 0,
    bootstrap: int = 1000,
    boundary: bool = True,
    progress: Callable[[int, str], None] | None = None,
) -> Scores:
    """Score (name, predicted, truth) of every image, both (H, W) uint8 in the protocol's ids or 255, as explained in
    `metrics.confusion`.

    seed, bootstrap: draws of whole images for the intervals. boundary: also boundary IoU, which takes most of the time.
    progress: called with (images done, name). Raises UserError for maps that cannot be compared, or none.
    """
    confusion = Confusion(len(protocol.classes))
    shared, joined = np.zeros((2, len(protocol.classes)), np.int64)
    counted = _columns(protocol, protocol.counted)
    images: dict[str, float] = {}
    for name, predicted, truth in pairs:
        if predicted.shape != truth.shape:
            sizes = f"prediction is {size_of(predicted)} pixels, but the truth {size_of(truth)}"
            raise UserError(f"{name}: {sizes}; they must be of one size")
        try:
            counts = confusion.add(predicted, truth)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
        images[name] = float(mean_iou(class_iou(counts.tp, counts.fp, counts.fn)[counted]))
        if boundary:
            inter, union = boundary_counts(predicted, truth, len(protocol.classes))
            shared += inter
            joined += union
        if progress:
            progress(len(confusion), name)
    if not len(confusion):
        raise UserError("there are no images to evaluate")
    tallies = confusion.tallies()
    if not tallies.pixels.any():
        raise UserError(f"no pixel of the {len(confusion)} truths counts in protocol {protocol.name}: all are ignored")
    boundary_iou = class_iou(shared, joined - shared, np.zeros_like(shared))
    return _score(tallies, boundary_iou, protocol, images, seed, bootstrap)


def _score(
    tallies: Tallies, boundary_iou: np.ndarray, protocol: Protocol, images: Mapping[str, float], seed: int, draws: int
) -> Scores:
    """All scores, from the counts of the images."""
    whole = Tallies(*(values.sum(0, keepdims=True) for values in (tallies.tp, tallies.fp, tallies.fn, tallies.pixels)))
    drawn = resample(tallies, seed=seed, draws=draws)
    iou, iou_drawn = (class_iou(counts.tp, counts.fp, counts.fn) for counts in (whole, drawn))
    counted = _columns(protocol, protocol.counted)

    def mean(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Mean IoU of some classes: of the set (1,), and of each draw (D,)."""
        columns = _columns(protocol, names)
        return mean_iou(iou[:, columns]), mean_iou(iou_drawn[:, columns])

    means = {name: mean(members) for name, members in protocol.groups.items()}
    if protocol.harmonic:
        first, second = (means[name] for name in protocol.harmonic)
        means["harmonic"] = (_harmonic(first[0], second[0]), _harmonic(first[1], second[1]))
    miou, miou_drawn = mean(protocol.counted)
    pixels = (whole.tp + whole.fn)[0]
    return Scores(
        protocol=protocol,
        miou=float(miou[0]),
        interval=interval(miou_drawn),
        pixel_accuracy=float(accuracy(whole.tp, whole.pixels)[0]),
        pixel_accuracy_ci95=interval(accuracy(drawn.tp, drawn.pixels)),
        boundary_miou=float(mean_iou(boundary_iou[counted])),
        classes={
            name: ClassScore(float(iou[0, i]), interval(iou_drawn[:, i]), float(boundary_iou[i]), int(pixels[i]))
            for i, name in enumerate(protocol.classes)
        },
        groups={name: (float(value[0]), interval(draws)) for name, (value, draws) in means.items()},
        images=images,
        pixels=int(whole.pixels[0]),
        seed=seed,
        bootstrap=draws,
    )


def _harmonic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """2ab / (a + b), 0 where both are 0."""
    total = first + second
    return np.divide(2 * first * second, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def _columns(protocol: Protocol, names: Sequence[str]) -> list[int]:
    return [protocol.classes.index(name) for name in names]


def size_of(array: np.ndarray) -> str:
    """`640 × 480`: width and height in pixels."""
    return f"{array.shape[1]} × {array.shape[0]}"


def plain(value: Any) -> Any:
    """A value for JSON: lists for tuples, None for NaN (the IoU of a class that is neither in the truth nor
    predicted).
    """
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_json(record: Mapping[str, Any], path: Path) -> None:
    """Write scores as JSON, atomically; missing folders are created."""
    write_atomic(path, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))


def make_table(title: str, *columns: str) -> Table:
    """A table for the terminal, whose columns after the first are numbers."""
    from rich.table import Table

    table = Table(*columns, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def percent(value: float) -> str:
    """A cell of a table; empty for NaN."""
    return "" if math.isnan(value) else f"{value:.1%}"


def percents(bounds: Interval) -> str:
    """An interval in a cell of a table; empty for NaN."""
    return "" if math.isnan(bounds[0]) else "–".join(f"{100 * bound:.1f}" for bound in bounds)
