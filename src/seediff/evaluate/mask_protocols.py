"""Scores soft masks of named classes under several protocols. A protocol says which classes compete for a pixel, and
whether the background counts:

oracle          the classes of the picture's truth, and the background if the data set has one
oracle-ignored  the same classes; every pixel gets one of them, and pixels of the truth's background are ignored
vocabulary      all classes of the data set; background as in `oracle`

A pixel gets the class with the highest soft value. With a background, it is background if that value is below a
threshold β. `count` counts pixels for all thresholds in BETAS at once, because β is chosen afterwards, on some of the
pictures, and the other pictures are scored with it.

Shape letters: K thresholds, C classes, (H, W) the truth's own size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..files.label_maps import IGNORE
from ..metrics.scores import class_iou, mean_iou
from .figures import Scores, cells, score_all
from .protocols import Protocol
from .tables import BEHIND, ScoreTable, Value

if TYPE_CHECKING:
    import torch

MaskProtocol = Literal["oracle", "oracle-ignored", "vocabulary"]
MASK_PROTOCOLS: tuple[MaskProtocol, ...] = get_args(MaskProtocol)
BETAS = np.round(np.arange(0.02, 1.0, 0.02), 2)


@dataclass(frozen=True)
class Column(Scores):
    """One protocol's scores."""

    beta: float | None
    """The threshold β, chosen on the tuning pictures; None if no background competes."""

    def to_json(self) -> dict[str, Any]:
        return {**self.keyed(), "beta": self.beta}


def strongest(soft: Sequence[torch.Tensor], ids: Sequence[int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(values, classes): the highest value of n soft maps at each pixel, (H, W) float32, and its class, (H, W) uint8;
    −1 and 255 if n = 0. The first of several equal maps wins. soft: (h, w) each; they are resized bilinearly first.
    ids: the class of each map. size: (H, W)."""
    from ..masks.arithmetic import highest, resize  # imports torch

    if not ids:
        return np.full(size, -1, np.float32), np.full(size, IGNORE, np.uint8)
    values, numbers = highest(resize(part[None], size)[0] for part in soft)
    return values.numpy(), np.array(ids, np.uint8)[numbers.numpy()]


def count(
    value: np.ndarray, classes: np.ndarray, truth: np.ndarray, num_classes: int, background: int | None
) -> np.ndarray:
    """(K, 3, C) int64: the true positives, false positives and false negatives of each class at each threshold. value,
    classes: from `strongest`. truth: (H, W), 255 ignored. num_classes: C. background: the class of pixels below the
    threshold; None: there is no threshold, and K is 1.

    Example: a pixel of class 1 has its highest value, 0.3, for class 2. Up to β = 0.3 it is class 2: one fp of class 2,
    one fn of class 1. Above, it is background: one fp of the background, one fn of class 1.
    """
    kept = truth != IGNORE
    classes, truth = classes[kept], truth[kept]
    betas = np.zeros(1, np.float32) if background is None else BETAS.astype(np.float32)
    reached = np.searchsorted(betas, value[kept], side="right")  # the number of thresholds that a pixel reaches

    def reaching(ids: np.ndarray, where: np.ndarray | slice) -> np.ndarray:
        """(K, C): the number of pixels of each id that reach each threshold. where: which pixels are counted."""
        # (K + 1, C): in row r the pixels that reach exactly r thresholds, the lowest ones
        size = (len(betas) + 1) * num_classes
        table = np.bincount(reached[where] * num_classes + ids[where], minlength=size).reshape(-1, num_classes)
        return table.sum(0) - table.cumsum(0)[:-1]  # for threshold k: all without rows 0 to k

    tp, predicted = reaching(classes, classes == truth), reaching(classes, classes != IGNORE)
    present = np.bincount(truth, minlength=num_classes)
    if background is not None:
        below = present - reaching(truth, slice(None))  # (K, C) pixels of each true class, predicted as background
        tp[:, background] += below[:, background]
        predicted[:, background] += below.sum(1)
    return np.stack([tp, predicted - tp, present - tp], axis=1)


def best_beta(tuning: np.ndarray) -> int:
    """The position in BETAS of the threshold with the highest mean IoU. tuning: (pictures, K, 3, C), from `count`."""
    return int(np.nan_to_num(mean_iou(class_iou(tuning.sum(0)))).argmax())


def score_column(classes: Protocol, tuning: np.ndarray, scored: np.ndarray, *, seed: int, draws: int) -> Column:
    """One column of scores. classes: the data's own. tuning, scored: (pictures, K, 3, C), from `count`, of the pictures
    that decide β and of the others. seed, draws: for the bootstrap."""
    best = best_beta(tuning)
    counts = scored[:, best]
    scores = score_all(classes, {"all": counts}, accuracy_name=None, seed=seed, draws=draws)
    beta = float(BETAS[best]) if scored.shape[1] > 1 else None  # K = 1: there is no threshold
    return Column(classes, scores, counts, seed, beta)


def mask_tables(columns: Mapping[str, Column], title: str) -> list[ScoreTable]:
    """A table of the means of each measure, with one row per protocol; or two, if fewer pictures than give an interval
    show a class."""
    tables: list[ScoreTable] = []
    for measure in next(iter(columns.values())).measures:
        rows: list[Sequence[Value]] = []
        for name, column in columns.items():
            threshold = "" if column.beta is None else f"{column.beta:.2f}"
            mean = column.whole[measure.mean]
            rows.append((name, *cells(mean), threshold))
            rows += [(f"{name}, {often.name}", *cells(often), "") for often in mean.often_shown()]
        tables.append(ScoreTable(title, (measure.mean, *BEHIND, "β from the tuning pictures"), rows))
    return tables
