"""Scores predicted label maps against true ones. Pixels are counted one image at a time; the scores of the whole set,
with their intervals, come from the counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dataset.split import check_seed
from ..errors import UserError
from ..metrics.confusion import Confusion, boundary_counts
from ..metrics.scores import Figure, class_figures, class_iou, mean_figure, mean_iou
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
    boundary_iou: np.ndarray
    """(C,) float64: boundary IoU of each class; NaN if it was not measured."""
    images: Mapping[str, float]
    """Name of an image → its own mean IoU; NaN if it shows no counted class."""
    seed: int
    draws: int
    """The number of draws of the bootstrap."""
    confusion: np.ndarray
    """(C, C + 1): `Confusion.table`."""

    @property
    def boundary_miou(self) -> float:
        """The mean boundary IoU over the protocol's counted classes; NaN if it was not measured."""
        counted = [iou for iou, name in zip(self.boundary_iou, self.per_class, strict=True) if self.counts(name)]
        return float(mean_iou(np.array(counted)))

    @property
    def pixels(self) -> np.ndarray:
        """(C,) int64: the number of each class's pixels in the truth. Ignored pixels are not counted."""
        return self.confusion.sum(1)

    @property
    def means(self) -> list[Figure]:
        """The groups, the mean IoU and the pixel accuracy."""
        return [*self.groups.values(), self.miou, self.pixel_accuracy]

    def counts(self, name: str) -> bool:
        """Whether the mean includes the class."""
        return name in self.protocol.counted

    def table(self) -> dict[str, Any]:
        """The scores as JSON values, with null for NaN. `images` and `pixels` are the numbers of counted images and
        pixels."""
        per_class: dict[str, Any] = {}
        columns = self.boundary_iou.tolist(), self.pixels.tolist()
        for figure, boundary, pixels in zip(self.per_class.values(), *columns, strict=True):
            per_class[figure.name] = {**figure.keyed("iou"), "boundary_iou": boundary, "pixels": pixels}
        return as_json(
            {
                "protocol": self.protocol.name,
                **self.miou.keyed("miou"),
                **self.pixel_accuracy.keyed("pixel_accuracy"),
                "boundary_miou": self.boundary_miou,
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
    shared, joined = np.zeros((2, size), np.int64)  # pixels in the boundaries of both maps, and of either
    counted = [protocol.classes.index(name) for name in protocol.counted]
    images: dict[str, float] = {}
    for name, predicted, truth in pairs:
        try:
            counts = confusion.add(predicted, truth)
        except ValueError as error:
            raise UserError(name, str(error)) from error
        images[name] = float(mean_iou(counts.iou[counted]))
        if boundary:
            intersections, unions = boundary_counts(predicted, truth, size)
            shared += intersections
            joined += unions
    if not len(confusion):
        raise UserError("there are no images to evaluate")
    if not confusion.table.any():
        raise UserError(f"no pixel of the {len(confusion)} truths counts in protocol {protocol.name}: all are ignored")

    # 2. The scores of the set
    per_class, accuracy = class_figures(protocol.classes, confusion.tallies(), seed=seed, draws=draws)

    def mean(name: str, classes: Iterable[str]) -> Figure:
        return mean_figure(name, [per_class[member] for member in classes])

    groups = {name: mean(name, members) for name, members in protocol.groups.items()}
    if protocol.harmonic:
        one, other = (groups[name] for name in protocol.harmonic)
        value = float(_harmonic(one.value, other.value))
        groups["harmonic"] = Figure("harmonic", value, _harmonic(one.drawn, other.drawn))
    return Scores(
        protocol=protocol,
        miou=mean("mIoU", protocol.counted),
        pixel_accuracy=accuracy,
        groups=groups,
        per_class=per_class,
        boundary_iou=class_iou(shared, joined - shared, np.zeros_like(shared)),  # fp + fn: `joined` without `shared`
        images=images,
        seed=seed,
        draws=draws,
        confusion=confusion.table,
    )


def _harmonic(first: Any, second: Any) -> np.ndarray:
    """2ab / (a + b), 0 where both are 0."""
    total = first + second
    return np.where(total > 0, 2 * first * second / np.maximum(total, TINY), total)


def check_bootstrap(seed: int, draws: int) -> None:
    """Raise UserError for a seed below 0, or no draws."""
    check_seed(seed)
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
