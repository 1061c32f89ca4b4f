"""Scores predicted label maps against true ones. Pixels are counted one image at a time; the scores of the whole set,
with their intervals, come from the counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..metrics.confusion import confusion, count_boundaries, count_classes
from ..metrics.scores import Counted, class_iou, mean_iou
from .protocols import Protocol
from .score_list import Scores, as_json, score_all


@dataclass(frozen=True)
class SemanticScores(Scores):
    """The scores of a set of label maps."""

    images: Mapping[str, float]
    """Name of an image → its own mean IoU; NaN if it shows no counted class."""
    confusion: np.ndarray
    """(C, C + 1): the sum of the images' `confusion` tables."""
    draws: int
    """The number of draws of the bootstrap."""

    def to_json(self) -> dict[str, Any]:
        """The scores as JSON values, with null for NaN. `images` and `pixels` are the numbers of counted images and
        pixels."""
        about = {**self.about(), "bootstrap": self.draws, "counted": self.protocol.counted}
        return as_json({**about, "groups": {}, **self.keyed(pixels=self.pixels)})


def evaluate_pairs(
    pairs: Iterable[tuple[str, np.ndarray, np.ndarray]],
    protocol: Protocol,
    *,
    seed: int = 0,
    draws: int = 1000,
    boundary: bool = True,
) -> SemanticScores:
    """The scores of a set of label maps.

    pairs: (name, predicted, truth) of each image: two maps (H, W) uint8 with the protocol's ids. 255 in the truth is
    ignored; 255 in the prediction means no class, which is wrong. seed, draws: of the bootstrap, for the intervals.
    boundary: also measure boundary IoU, which takes most of the time. Raises UserError for maps that cannot be
    compared, and if there is no pair or no pixel to score.
    """
    # 1. Count the pixels of each pair
    size = len(protocol.classes)
    total = np.zeros((size, size + 1), np.int64)
    counts: list[np.ndarray] = []
    bands: list[np.ndarray] = []
    images: dict[str, float] = {}
    counted = [protocol.classes.index(name) for name in protocol.counted]
    for name, predicted, truth in pairs:
        try:
            table = confusion(predicted, truth, size)
        except ValueError as error:
            raise UserError(name, str(error)) from error
        total += table
        counts.append(count_classes(table))
        images[name] = float(mean_iou(class_iou(counts[-1])[counted]))
        if boundary:
            bands.append(count_boundaries(predicted, truth, size))
    if not counts:
        raise UserError("there are no images to evaluate")
    if not total.any():
        raise UserError(f"no pixel of the {len(counts)} truths counts in protocol {protocol.name}: all are ignored")

    # 2. The scores of the set
    counted_pixels: dict[Counted, np.ndarray] = {"all": np.array(counts)}
    if boundary:
        counted_pixels["outlines"] = np.array(bands)
    scores = score_all(protocol, counted_pixels, accuracy_name="pixel accuracy", seed=seed, draws=draws)
    return SemanticScores(protocol, scores, counted_pixels["all"], seed, images, total, draws)
