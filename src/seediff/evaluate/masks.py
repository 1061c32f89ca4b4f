"""Masks of named classes under several protocols: which classes compete, and whether the background counts. Pure functions on arrays.

oracle          the classes of the picture's truth, and the background if the data set has one
oracle-ignored  the same classes; every pixel gets one of them, and pixels of the truth's background are ignored
predicted       the classes that a presence test finds without the truth; background as in `oracle`
vocabulary      all classes of the data set; background as in `oracle`

A pixel gets the class with the highest soft value. With a background, it is background if that value is below a threshold β. Pixels are
counted for all of BETAS, so that β can be chosen on other pictures than those that are scored.

Shape letters: K thresholds, C classes, (H, W) the truth's own size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ..errors import UserError
from ..masks.presence_questions import THRESHOLDS
from ..metrics.bootstrap import interval
from ..metrics.confusion import IGNORED
from ..metrics.scores import Tallies, class_iou, mean_iou, resample
from .floors import floor_map
from .semantic import Interval, percent, percents

if TYPE_CHECKING:
    import torch
    from rich.table import Table

MaskProtocol = Literal["oracle", "oracle-ignored", "predicted", "vocabulary"]
MASK_PROTOCOLS: tuple[MaskProtocol, ...] = get_args(MaskProtocol)
BETAS = np.round(np.arange(0.02, 1.0, 0.02), 2)


@dataclass(frozen=True)
class Column:
    """One protocol's scores in [0, 1].

    miou_ci95: bootstrap interval over pictures. per_class: IoU by name, NaN for a class that is neither in the truth nor predicted. beta:
    the threshold from the tuning pictures, None if no background competes. oracle_threshold: β that is best on the scored truths, and
    the mIoU with it. floors: mIoU of `floor_maps`. sentences: prompts per picture. seconds: per picture, if this were the only protocol.
    """

    miou: float
    miou_ci95: Interval
    per_class: Mapping[str, float]
    beta: float | None
    oracle_threshold: tuple[float, float] | None
    floors: Mapping[str, float]
    sentences: float
    seconds: float


def strongest(soft: Sequence[torch.Tensor], ids: Sequence[int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The highest of n soft maps (h, w) at each pixel, (H, W) float32, and its class, (H, W) uint8, after bilinear enlarging; −1 and 255
    if n = 0. If values are equal, the first map wins. ids: each map's class."""
    from ..masks.arithmetic import resize

    value, classes = np.full(size, -1, np.float32), np.full(size, IGNORED, np.uint8)
    for part, number in zip(soft, ids, strict=True):
        enlarged = resize(part[None], size)[0].numpy()
        higher = enlarged > value
        value[higher], classes[higher] = enlarged[higher], number
    return value, classes


def count(value: np.ndarray, classes: np.ndarray, truth: np.ndarray, num_classes: int, background: int | None) -> np.ndarray:
    """(3, K, C) int64: tp, fp and fn of each class at each of BETAS. value, classes: from `strongest`. truth: (H, W), 255 ignored.

    background: the class of pixels below the threshold; None: there is no threshold, and K is 1.
    """
    kept = truth != IGNORED
    classes, truth = classes[kept], truth[kept]
    betas = np.zeros(1, np.float32) if background is None else BETAS.astype(np.float32)
    reached = np.searchsorted(betas, value[kept], side="right")  # the number of thresholds that a pixel reaches

    def levels(ids: np.ndarray, where: np.ndarray) -> np.ndarray:
        """(K + 1, C): number of pixels by the number of thresholds that they reach and by class."""
        size = (len(betas) + 1) * num_classes
        return np.bincount(reached[where] * num_classes + ids[where], minlength=size).reshape(-1, num_classes)

    right, said, there = levels(classes, classes == truth), levels(classes, classes != IGNORED), levels(truth, truth != IGNORED)
    tp, predicted = (table.sum(0) - table.cumsum(0)[:-1] for table in (right, said))
    if background is not None:
        below = there.cumsum(0)[:-1]
        tp[:, background] += below[:, background]
        predicted[:, background] += below.sum(1)
    return np.stack([tp, predicted - tp, there.sum(0) - tp])


def presence_threshold(scores: np.ndarray, present: np.ndarray) -> float:
    """The threshold with the highest IoU of the (picture, class) pairs that reach it and those present; the lowest if several are equal.

    scores, present: one entry per pair. Raises UserError if no class is present in any picture.
    """
    if not present.any():
        raise UserError("the tuning pictures show none of the classes: use more pictures, or another seed")
    return float(max(THRESHOLDS, key=lambda t: ((scores >= t) & present).sum() / ((scores >= t) | present).sum()))


def floor_maps(classes: Sequence[int], background: int | None, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Predictions (H, W) uint8 that never look at the picture. classes: the most frequent first, without background.

    largest: the first class everywhere. centre: the first class in the centred box of half the height and width, background around it;
    without a background, the second class in the box and the first around it.
    """
    nothing = IGNORED if background is None else background
    first, second = (*classes[:2], *classes[:1], nothing, nothing)[:2]
    box, around = (second, first) if background is None else (first, background)
    centre = np.where(floor_map("centre", *size) == 1, box, around)
    return {"largest": np.full(size, first, np.uint8), "centre": centre.astype(np.uint8)}


def score_column(
    classes: Sequence[str],
    tuning: np.ndarray,
    scored: np.ndarray,
    floors: Mapping[str, np.ndarray],
    *,
    sentences: float,
    seconds: float,
    seed: int,
    draws: int,
) -> Column:
    """One protocol's scores. tuning, scored: (pictures, 3, K, C) from `count`. floors: (pictures, 3, 1, C)."""
    mious = mean_iou(class_iou(*scored.sum(0)))
    best, oracle = (int(np.nan_to_num(mean_iou(class_iou(*counts.sum(0)))).argmax()) for counts in (tuning, scored))
    tp, fp, fn = scored[:, :, best].swapaxes(0, 1)
    drawn = resample(Tallies(tp, fp, fn, (tp + fn).sum(1)), seed=seed, draws=draws)
    has_threshold = len(mious) > 1
    return Column(
        miou=float(mious[best]),
        miou_ci95=interval(mean_iou(class_iou(drawn.tp, drawn.fp, drawn.fn))),
        per_class=dict(zip(classes, class_iou(*scored[:, :, best].sum(0)).tolist(), strict=True)),
        beta=float(BETAS[best]) if has_threshold else None,
        oracle_threshold=(float(BETAS[oracle]), float(mious[oracle])) if has_threshold else None,
        floors={floor: float(mean_iou(class_iou(*counts.sum(0)))[0]) for floor, counts in floors.items()},
        sentences=sentences,
        seconds=seconds,
    )


def mask_table(columns: Mapping[str, Column], title: str) -> Table:
    """A table for the terminal, one column per protocol."""
    from rich.table import Table

    table = Table("", *columns, title=title)
    for name, cell in {
        "mIoU": lambda c: percent(c.miou),
        "95 % CI": lambda c: percents(c.miou_ci95),
        "β from the tuning pictures": lambda c: "" if c.beta is None else f"{c.beta:.2f}",
        "mIoU at the oracle threshold": lambda c: percent(c.oracle_threshold[1]) if c.oracle_threshold else "",
        "floor: largest class": lambda c: percent(c.floors["largest"]),
        "floor: centre box": lambda c: percent(c.floors["centre"]),
        "sentences per picture": lambda c: f"{c.sentences:.2f}",
        "seconds per picture": lambda c: f"{c.seconds:.2f}",
    }.items():
        table.add_row(name, *map(cell, columns.values()))
    return table
