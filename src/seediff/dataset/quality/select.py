"""Selects the samples of a dataset that are worth training on, and their pixels that are certain.

The confidence of a class in a picture is the mean of its soft mask inside the class's pixels minus the mean outside, in
[−1, 1]: near 1 if the method was sure everywhere. Dataset Diffusion (section 3.4) ignores uncertain pixels: those with
soft values from 0.5 to 0.6 become 255.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from ...config.fields import Count, Share, check_fields
from ...errors import UserError
from ...masks.flags import check_flags, degenerate, flag_kind
from .. import native
from ..encoding import Instances
from ..reviews import is_corrected, is_made, is_replaced
from ..rows import shown_classes
from ..sample import Sample
from ..shapes.following import follow as follow_objects
from .stats import measure, row_flags

Reviewed = Literal["accepted", "rejected", "not-rejected", "unreviewed", "corrected"]
ROUNDING = 1e-6
"""Tolerance for soft levels: 0.6 × 255 must be 153, despite floating-point rounding."""


@dataclass(frozen=True)
class Criteria:
    """The criteria that a sample must meet to stay.

    drop_flags: kinds (`degenerate`) or whole flags (`degenerate:dog`); `all` for any. min_area, max_area: of each
    class's mask. max_components: connected pieces of each class's mask, of at least min_piece pixels. min_confidence,
    min_agreement: of the class with the least. best: for each class, the number of pictures to keep in which it is most
    certain. ignore_band: (low, high) of soft values that become 255; from `high` on, pixels get the class. reviewed:
    the decision in `seediff look`. Raises UserError naming a field out of range.
    """

    drop_flags: tuple[str, ...] = ()
    min_area: Share = 0.0
    max_area: Share = 1.0
    max_components: Count | None = None
    min_piece: Count = 1
    min_confidence: Annotated[float, Meta(ge=-1, le=1)] | None = None
    min_agreement: Share | None = None
    best: Count | None = None
    ignore_band: tuple[Share, Share] | None = None
    reviewed: Reviewed | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_area > self.max_area:
            raise UserError("min_area", f"{self.min_area} must be at most max_area = {self.max_area}")
        if self.ignore_band is not None and not 0 < self.ignore_band[0] < self.ignore_band[1]:
            raise UserError("ignore_band", f"{self.ignore_band} must be LOW,HIGH with 0 < LOW < HIGH ≤ 1")


@dataclass(frozen=True)
class Selected:
    """samples: those that stay, with `confidence` in their rows where known. dropped: the first criterion that samples
    do not meet → their number."""

    samples: tuple[Sample, ...]
    dropped: Mapping[str, int]


def select_samples(
    classes: Sequence[str],
    samples: Sequence[Sample],
    criteria: Criteria,
    *,
    where: Path | str | None = None,
    follow: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
) -> Selected:
    """The samples that meet the criteria. where: the set's name in errors. follow: wraps the samples to show progress.
    Raises UserError naming what a criterion needs, and for a flag that no sample could have."""
    where = where or "the dataset"
    check_flags(criteria.drop_flags, classes, (flag for sample in samples for flag in row_flags(sample.metadata)))
    has_soft = any(kind == native.SOFT for sample in samples for kind, _ in sample.extras)
    fix = "make the dataset with keep_soft = true"
    if criteria.ignore_band and not has_soft:
        raise UserError("ignore_band", f"needs soft masks, and {where} has none", fix)
    stays: list[tuple[Sample, Mapping[str, float]]] = []
    dropped: Counter[str] = Counter()
    for sample in follow(samples):
        row, bare = sample.metadata, f"sample '{sample.name}' of {where} has none"
        changed, sure, fails = _judge(sample, classes, criteria, has_soft)
        if sure is None and (criteria.best or criteria.min_confidence is not None):
            raise UserError("best" if criteria.best else "min_confidence", f"needs soft masks, and {bare}", fix)
        if criteria.min_agreement is not None and not (
            "agreement" in row or not row.get("classes") or is_replaced(row)
        ):
            problem = f"needs `agreement`, and {bare}"
            raise UserError("min_agreement", problem, "generate and mask write it for method seediff")
        if reason := next((reason for reason, failed in fails.items() if failed), None):
            dropped[reason] += 1
        else:
            stays.append((changed, sure or {}))
    if criteria.best:
        chosen = best_per_class([sure for _, sure in stays], criteria.best)
        dropped["best"] = len(stays) - len(chosen)
        stays = [stays[i] for i in sorted(chosen)]
    return Selected(tuple(sample for sample, _ in stays), dict(+dropped))


def _judge(
    sample: Sample, classes: Sequence[str], criteria: Criteria, has_soft: bool
) -> tuple[Sample, Mapping[str, float] | None, dict[str, bool]]:
    """A sample as it would be written, the confidence of each of its classes, or None if unknown, and criterion →
    whether it does not meet it."""
    row, labels = dict(sample.metadata), sample.labels(len(classes))
    corrected, band = is_corrected(row), criteria.ignore_band
    soft = sample.soft_levels() if has_soft and not is_replaced(row) else None
    if soft is not None and band:
        labels = uncertain_band(labels, list(soft.values()), list(soft), *band)
    measured = measure(labels, (), criteria.min_piece)
    seen = shown_classes(measured.counts, classes, row.get("classes") or (), f"sample '{sample.name}'")
    ids = dict(zip(seen["classes"], seen["class_ids"], strict=True))
    sure: Mapping[str, float] | None = row.get("confidence")
    if soft is not None:
        sure = {name: round(confidence(labels, soft[i], i), 4) for name, i in ids.items() if i in soft}
    elif corrected:  # made by a person, so certain
        sure = dict.fromkeys(row.get("classes") or (), 1.0)
    elif is_made(row):  # it has no soft masks, so nothing says how certain it is
        sure = {}
    if has_soft and (corrected or soft is not None):
        row["confidence"] = sure
        if soft is not None and band and "flags" in row:
            shares = {name: measured.area(class_id) for name, class_id in ids.items()}
            row["flags"] = [f for f in row_flags(row) if flag_kind(f) != "degenerate"] + degenerate(shares)
        sample = sample.replace(metadata=row)
    if soft is not None and band:
        # The label map is computed again when it is written, because a set does not fit into memory.
        instances = sample.stored_instances and partial(_banded_objects, sample, band)
        sample = sample.replace(label_map=partial(_banded, sample, band), instances=instances)
    verdict = row.get("review", {}).get("verdict")
    reviews = {verdict, "corrected" if corrected else None, None if verdict == "rejected" else "not-rejected"}
    reviews |= {"unreviewed"} if verdict is None and not corrected else set()
    # A mask of a person agrees; the agreement of one made in the viewer is unknown.
    agreement = dict.fromkeys(row.get("classes") or (), 1.0) if corrected else row.get("agreement") or {}
    dropped = {*criteria.drop_flags}
    return (
        sample,
        sure,
        {
            "reviewed": criteria.reviewed is not None and criteria.reviewed not in reviews,
            "flags": any({"all", flag, flag_kind(flag)} & dropped for flag in row_flags(row)),
            "area": any(not criteria.min_area <= measured.area(i) <= criteria.max_area for i in ids.values()),
            "components": any(measured.pieces.get(i, 0) > (criteria.max_components or np.inf) for i in ids.values()),
            # A picture without a class has no mask to be certain of: −1.
            "confidence": criteria.min_confidence is not None
            and min((sure or {}).values(), default=-1.0) < criteria.min_confidence,
            "agreement": criteria.min_agreement is not None
            and min(agreement.values(), default=-1.0) < criteria.min_agreement,
        },
    )


def confidence(labels: np.ndarray, soft: np.ndarray, class_id: int) -> float:
    """Confidence of a class, in [−1, 1]. soft: (H, W) uint8 with 255 = 1. Ignored pixels are on neither side. A class
    without a pixel has −1; one that fills the picture has its mean inside."""
    inside = labels == class_id
    outside = ~inside & (labels != native.IGNORE)
    if not inside.any():
        return -1.0
    return float(soft[inside].mean() - (soft[outside].mean() if outside.any() else 0)) / 255


def uncertain_band(
    labels: np.ndarray, soft: Sequence[np.ndarray], class_ids: Sequence[int], low: float, high: float
) -> np.ndarray:
    """(H, W) uint8 label map from soft masks (H, W), uint8 with 255 = 1, one per class: the class with the highest
    value (the first of equals) where that is at least `high`, 255 where it is at least `low`, and else 0. Ignored
    pixels stay so."""
    if not class_ids:
        return labels
    stack = np.stack(soft)
    highest = stack.max(0)
    certain, uncertain = highest >= high * 255 - ROUNDING, highest >= low * 255 - ROUNDING
    banded = np.where(certain, np.array(class_ids, np.uint8)[stack.argmax(0)], np.where(uncertain, native.IGNORE, 0))
    return np.where(labels == native.IGNORE, native.IGNORE, banded).astype(np.uint8)


def best_per_class(confidences: Sequence[Mapping[str, float]], count: int) -> set[int]:
    """Positions of the samples among the `count` most certain of at least one class; of equals, the earlier."""
    chosen: set[int] = set()
    for name in {name for sure in confidences for name in sure}:
        having = [i for i, sure in enumerate(confidences) if name in sure]
        chosen.update(sorted(having, key=lambda i: -confidences[i][name])[:count])
    return chosen


def _banded(sample: Sample, band: tuple[float, float]) -> np.ndarray:
    soft = sample.soft_levels()
    return uncertain_band(sample.unchecked_labels(), list(soft.values()), list(soft), *band)


def _banded_objects(sample: Sample, band: tuple[float, float]) -> Instances:
    """Objects are not cut, because a band leaves specks, which are no objects."""
    instances = sample.instances
    assert instances is not None
    return follow_objects(instances, sample.unchecked_labels(), _banded(sample, band))
