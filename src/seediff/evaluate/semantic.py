"""Scores predicted label maps against true ones. Pixels are counted one image at a time; the scores of the whole set,
with their intervals, come from the counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dataset.split import check_seed
from ..errors import UserError
from ..metrics.confusion import Confusion, tally_boundaries
from ..metrics.scores import Figure, Tally, class_figures, mean_figure, mean_iou, stack
from .protocols import Protocol
from .tables import as_json

TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Scores:
    """The scores of a set of label maps, in [0, 1], with 95 % intervals of a bootstrap over images."""

    protocol: Protocol
    miou: Figure
    """The mean IoU over the protocol's counted classes that are in the truth or predicted."""
    pixel_accuracy: Figure
    groups: Mapping[str, Figure]
    """Name → mean IoU of each of the protocol's groups; and `harmonic`, the harmonic mean of two groups, if the
    protocol has one."""
    per_class: Mapping[str, Figure]
    """Class → IoU, in the order of ids; NaN for a class that is neither in the truth nor predicted."""
    boundary: Figure
    """The mean boundary IoU over the protocol's counted classes; NaN if it was not measured."""
    boundary_iou: Mapping[str, Figure]
    """Class → boundary IoU, as `per_class`; NaN if it was not measured."""
    images: Mapping[str, float]
    """Name of an image → its own mean IoU; NaN if it shows no counted class."""
    seed: int
    draws: int
    """The number of draws of the bootstrap."""
    confusion: np.ndarray
    """(C, C + 1): `Confusion.table`."""

    @property
    def pixels(self) -> np.ndarray:
        """(C,) int64: the number of each class's pixels in the truth. Ignored pixels are not counted."""
        return self.confusion.sum(1)

    @property
    def means(self) -> list[Figure]:
        """The groups, the mean IoU, the pixel accuracy and, if it was measured, the mean boundary IoU."""
        means = (*self.groups.values(), self.miou, self.pixel_accuracy)
        return [*means, *([self.boundary] * (not math.isnan(self.boundary.value)))]

    def counts(self, name: str) -> bool:
        """Whether the mean includes the class."""
        return name in self.protocol.counted

    def table(self) -> dict[str, Any]:
        """The scores as JSON values, with null for NaN. `images` and `pixels` are the numbers of counted images and
        pixels."""
        per_class: dict[str, Any] = {}
        columns = self.boundary_iou.values(), self.pixels.tolist()
        for figure, boundary, pixels in zip(self.per_class.values(), *columns, strict=True):
            per_class[figure.name] = {**figure.keyed("iou"), **boundary.keyed("boundary_iou"), "pixels": pixels}
        return as_json(
            {
                "protocol": self.protocol.name,
                **self.miou.keyed("miou"),
                **self.pixel_accuracy.keyed("pixel_accuracy"),
                **self.boundary.keyed("boundary_miou"),
                "groups": {name: group.keyed("miou") for name, group in self.groups.items()},
                "per_class": per_class,
                "images": len(self.images),
                "pixels": int(self.pixels.sum()),
                "seed": self.seed,
                "bootstrap": self.draws,
                "counted": self.protocol.counted,
            }
        )


def evaluate_pairs(
    pairs: Iterable[tuple[str, np.ndarray, np.ndarray]],
    protocol: Protocol,
    *,
    seed: int = 0,
    draws: int = 1000,
    boundary: bool = True,
) -> Scores:
    """The scores of a set of label maps.

    pairs: (name, predicted, truth) of each image: two maps (H, W) uint8 with the protocol's ids. 255 in the truth is
    ignored; 255 in the prediction means no class, which is wrong. seed, draws: of the bootstrap, for the intervals.
    boundary: also measure boundary IoU, which takes most of the time. Raises UserError for maps that cannot be
    compared, and if there is no pair or no pixel to score.
    """
    # 1. Count the pixels of each pair
    size = len(protocol.classes)
    confusion = Confusion(size)
    bands: list[Tally] = []  # of each image, if boundary IoU is measured
    counted = [protocol.classes.index(name) for name in protocol.counted]
    images: dict[str, float] = {}
    for name, predicted, truth in pairs:
        try:
            counts = confusion.add(predicted, truth)
        except ValueError as error:
            raise UserError(name, str(error)) from error
        images[name] = float(mean_iou(counts.iou[counted]))
        if boundary:
            bands.append(tally_boundaries(predicted, truth, size))
    if not len(confusion):
        raise UserError("there are no images to evaluate")
    if not confusion.table.any():
        raise UserError(f"no pixel of the {len(confusion)} truths counts in protocol {protocol.name}: all are ignored")

    # 2. The scores of the set
    per_class, accuracy = class_figures(protocol.classes, confusion.tallies(), seed=seed, draws=draws)
    nothing = np.full_like(accuracy.drawn, math.nan)
    boundary_iou = {name: Figure(name, math.nan, nothing, 0) for name in protocol.classes}
    if boundary:
        boundary_iou, _ = class_figures(protocol.classes, stack(bands), seed=seed, draws=draws)

    def mean(name: str, classes: Iterable[str], ious: Mapping[str, Figure] = per_class) -> Figure:
        return mean_figure(name, [ious[member] for member in classes])

    groups = {name: mean(name, members) for name, members in protocol.groups.items()}
    if protocol.harmonic:
        groups["harmonic"] = mean_figure("harmonic", [groups[name] for name in protocol.harmonic], _harmonic)
    return Scores(
        protocol=protocol,
        miou=mean("mIoU", protocol.counted),
        pixel_accuracy=accuracy,
        groups=groups,
        per_class=per_class,
        boundary=mean("boundary mIoU", protocol.counted, boundary_iou),
        boundary_iou=boundary_iou,
        images=images,
        seed=seed,
        draws=draws,
        confusion=confusion.table,
    )


def _harmonic(both: np.ndarray) -> np.ndarray:
    """(…): the harmonic mean of two scores (…, 2), 0 where both are 0."""
    total = both.sum(-1)
    return np.where(total > 0, 2 * both.prod(-1) / np.maximum(total, TINY), total)


def check_bootstrap(seed: int, draws: int) -> None:
    """Raise UserError for a seed below 0, or no draws."""
    check_seed(seed)
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
