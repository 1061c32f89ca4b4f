"""Floors for unnamed segments: divisions that never look at the picture, and how far a method is ahead of each. Pure
functions.

Photographers put things in the middle, the sky above and the ground below. So one segment, or a box in the middle,
scores well without any method. A method that looks at the picture must score higher on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seediff.metrics.scores import Tally, interval, mean_iou, resample

PARTS = {"one": 1, "top-bottom": 2}
"""Floors of equal parts: the number of parts from top to bottom."""

FLOORS: dict[str, str] = {
    "one": "one segment",
    "top-bottom": "upper and lower half",
    "centre": "a box in the middle, half as wide and high as the image, and what is around it",
}
"""Every floor, by name. None was chosen or tuned by its score."""


@dataclass(frozen=True)
class Difference:
    """The difference between two predictions of a set in ACC and mIoU, −1 to 1, with percentile intervals (low,
    high).
    """

    acc: float
    acc_ci95: tuple[float, float]
    miou: float
    miou_ci95: tuple[float, float]


@dataclass(frozen=True)
class FloorScore:
    """A floor's ACC and mIoU in [0, 1], its mean number of segments, and how far the method is ahead of it."""

    segments: float
    acc: float
    miou: float
    ahead: Difference


def floor_map(floor: str, height: int, width: int) -> np.ndarray:
    """(H, W) int32: a floor's segments, ids from 0 without gaps; fewer segments if the image has too few pixels."""
    if floor == "centre":
        inside = np.minimum(_inwards(height)[:, None], _inwards(width))
        return (inside - inside.min()).astype(np.int32)
    rows = np.arange(height) * min(PARTS[floor], height) // height
    return np.repeat(rows[:, None], width, 1).astype(np.int32)


def score_floors(
    method: Tally,
    floors: Mapping[str, Tally],
    segments: Mapping[str, Sequence[int]],
) -> dict[str, FloorScore]:
    """Each floor's scores, and how far the method is ahead of it, from the counts of the same images in the same order.

    segments: the number of each floor's segments in each image.
    """
    ahead = differences(method, list(floors.values()))
    scores = {}
    for (name, counts), difference in zip(floors.items(), ahead, strict=True):
        whole = counts.total()
        acc, miou = float(whole.accuracy), float(mean_iou(whole.iou))
        scores[name] = FloorScore(float(np.mean(segments[name])), acc, miou, difference)
    return scores


def differences(tallies: Tally, others: Sequence[Tally], *, seed: int = 0, draws: int = 2000) -> list[Difference]:
    """The difference between `tallies` and each of the others, with 95 % intervals from the same draws for all.

    Paired: a draw takes the same images for both, so images that are hard for both do not widen the interval. All
    counts must be of the same images in one order; raises ValueError if their labelled pixels differ.
    """
    if any(not np.array_equal(tallies.pixels, other.pixels) for other in others):
        raise ValueError("only predictions of the same labels in the same order can be compared")
    every, classes = [tallies, *others], tallies.tp.shape[1]
    tp, fp, fn = (
        np.concatenate([getattr(t, key) for t in every], axis=1) for key in ("tp", "fp", "fn")
    )  # (I, C of each in turn)
    together = Tally(tp, fp, fn, tallies.pixels)

    def scores(counts: Tally) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """ACC and mIoU of every prediction, from its columns."""
        parts = [slice(n * classes, (n + 1) * classes) for n in range(len(every))]
        ones = [Tally(counts.tp[..., p], counts.fp[..., p], counts.fn[..., p], counts.pixels) for p in parts]
        return [one.accuracy for one in ones], [mean_iou(one.iou) for one in ones]

    drawn = resample(together, seed=seed, draws=draws)
    (accs, mious), (drawn_accs, drawn_mious) = scores(together.total()), scores(drawn)
    return [
        Difference(
            float(accs[0] - accs[n]),
            interval(drawn_accs[0] - drawn_accs[n]),
            float(mious[0] - mious[n]),
            interval(drawn_mious[0] - drawn_mious[n]),
        )
        for n in range(1, len(every))
    ]


def _inwards(length: int) -> np.ndarray:
    """(length,): 1 in the middle half of the positions, 0 at the edges."""
    along = np.arange(length)
    edge = 2 * np.minimum(along, length - 1 - along) + 1  # from the pixel's centre to the nearer edge, in half pixels
    return np.minimum(edge * 2 // length, 1)
