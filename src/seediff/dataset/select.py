"""Selects the samples of a dataset that are worth training on, by their rows and label maps, and removes specks.
Measures label maps, and sums them up as statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from ..config.sets import Criteria
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..rows.doubt import doubt
from ..rows.row import KEYS, SCORES, Review
from ..rows.values import check_flags, flag_kind, shown_classes
from ..workers import Follow
from .sample import Sample, repainted
from .shapes.changes import clean_labels
from .shapes.objects import find_objects

AREA_BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.95, 1.0)
"""Edges of the bins for areas. `generate` flags masks in the first and the last bin as `degenerate`."""


@dataclass(frozen=True)
class Measured:
    """The measures of a label map."""

    size: tuple[int, int]
    """(height, width)."""
    counts: np.ndarray
    """(256,): the number of pixels of each id."""
    pieces: np.ndarray
    """(256,): the number of connected pieces of each id."""

    @property
    def areas(self) -> np.ndarray:
        """(256,) float64: the share of the picture that each id has, in [0, 1]."""
        return self.counts / self.counts.sum()


@dataclass(frozen=True)
class ClassStats:
    """The statistics of a class."""

    name: str
    images: int
    """Number of images with a pixel of the class."""
    pixels: float
    """Share of all pixels in the set."""
    mean_area: float | None
    """Mean share of the picture in these images; None if there are none."""
    mean_pieces: float | None
    """Mean number of connected pieces in these images; None if there are none."""
    areas: tuple[int, ...]
    """Number of images in each bin of AREA_BINS; the last bin includes both its edges."""


@dataclass(frozen=True)
class Stats:
    """The statistics of a set."""

    images: int
    """Number of images."""
    background: float
    """Share of all pixels that are background."""
    ignored: float
    """Share of all pixels that are ignored."""
    sizes: Mapping[str, int]
    """`height×width` → number of images."""
    classes: tuple[ClassStats, ...]

    def to_json(self) -> dict[str, Any]:
        """The statistics as values for `json.dumps`."""
        return {**asdict(self), "area_bins": list(AREA_BINS)}


def measure(labels: np.ndarray, min_piece: int = 1) -> Measured:
    """The measures of a label map (H, W) uint8. min_piece: pieces with fewer pixels are not counted."""
    pieces = np.bincount(find_objects(labels, min_piece).class_ids, minlength=256)
    return Measured((labels.shape[0], labels.shape[1]), np.bincount(labels.ravel(), minlength=256), pieces)


def set_stats(samples: Sequence[Measured], classes: Sequence[str]) -> Stats:
    """The statistics of a dataset. samples: the measures of its label maps. classes: its classes, without the
    background."""
    total = sum((sample.counts for sample in samples), np.zeros(256, np.int64))
    shares = (total / max(total.sum(), 1)).tolist()
    return Stats(
        images=len(samples),
        background=shares[0],
        ignored=shares[IGNORE],
        sizes=dict(Counter(f"{sample.size[0]}×{sample.size[1]}" for sample in samples).most_common()),
        classes=tuple(_class_stats(samples, i, name, shares[i]) for i, name in enumerate(classes, 1)),
    )


def _class_stats(samples: Sequence[Measured], class_id: int, name: str, pixels: float) -> ClassStats:
    """The statistics of a class. samples: the measures of the label maps. class_id, name: the class. pixels: its share
    of all pixels."""
    showing = [(sample.areas[class_id], sample.pieces[class_id]) for sample in samples if sample.counts[class_id]]
    areas, pieces = np.array(showing, np.float64).reshape(-1, 2).T
    return ClassStats(
        name=name,
        images=len(showing),
        pixels=pixels,
        mean_area=float(areas.mean()) if showing else None,
        mean_pieces=float(pieces.mean()) if showing else None,
        areas=tuple(np.histogram(areas, AREA_BINS)[0].tolist()),
    )


def select_samples(
    classes: Sequence[str],
    samples: Sequence[Sample],
    criteria: Criteria,
    where: str,
    follow: Follow,
) -> tuple[list[Sample], Mapping[str, int]]:
    """(selected, dropped). `selected`: the samples that meet all criteria. `dropped`: criterion → number of samples
    that do not meet it. A sample counts only for the first such criterion.

    classes: the dataset's classes. where: its name in errors. follow: wraps the samples, to show progress. Raises
    UserError naming what a criterion needs, and for a flag that no sample could have.
    """
    check_flags(criteria.drop_flags, classes, chain(*(sample.row.flag_list for sample in samples)))
    stays = list[Sample]()
    dropped = Counter[str]()
    for sample in follow(samples):
        reason = _unmet(sample, classes, criteria, where)
        if reason:
            dropped[reason] += 1
        else:
            stays.append(sample)
    if criteria.best:
        chosen = best_per_class(_doubts(stays, "best", where), [one.row.shown for one in stays], criteria.best)
        dropped["best"] = len(stays) - len(chosen)
        stays = [stays[i] for i in sorted(chosen)]
    if criteria.worst:
        chosen = np.argsort(-_doubts(stays, "worst", where), kind="stable")[: criteria.worst]
        dropped["worst"] = len(stays) - len(chosen)
        stays = [stays[i] for i in sorted(chosen)]
    return stays, +dropped


def _doubts(samples: Sequence[Sample], criterion: str, where: str) -> np.ndarray:
    """(N,): the `doubt` of samples; 0 for a mask that a person corrected. criterion, where: names of the criterion and
    the set in errors. Raises UserError if no row has a figure."""
    rows = [sample.row for sample in samples]
    if not any(row.support or row.confidence for row in rows):
        raise UserError(criterion, f"needs `support` or `confidence`, and no sample of {where} has one", "run `doubt`")
    return np.where([bool(row.review_or_empty.corrected) for row in rows], 0, doubt(rows))


def _unmet(sample: Sample, classes: Sequence[str], criteria: Criteria, where: str) -> str | None:
    """The first criterion that a sample does not meet; None if it meets all. This does not include `best` and
    `worst`, which compare samples. classes: the dataset's classes. where: its name in errors. Raises UserError."""
    row = sample.row
    if criteria.reviewed is not None and criteria.reviewed not in _decisions(row.review_or_empty):
        return "reviewed"
    if any({"all", flag, flag_kind(flag)} & {*criteria.drop_flags} for flag in row.flag_list):
        return "flags"
    if criteria.min_area > 0 or criteria.max_area < 1 or criteria.max_components is not None:
        measured = measure(sample.labels(len(classes)), criteria.min_piece)
        shown = shown_classes(measured.counts, classes, row.class_names, f"sample '{sample.name}'")
        if not all(criteria.min_area <= measured.areas[i] <= criteria.max_area for i in shown.class_ids):
            return "area"
        if criteria.max_components and measured.pieces.max() > criteria.max_components:
            return "components"
    for key in SCORES:
        criterion = f"min_{key}"
        bound = getattr(criteria, criterion)
        if bound is None:
            continue
        scores = _scores(sample, key, criterion, where).values()
        # A picture without a class has no mask to be certain of.
        if not scores or min(scores) < bound:
            return key
    return None


def _decisions(review: Review) -> set[str | None]:
    """The values of `Criteria.reviewed` that keep a sample with this review."""
    met: set[str | None] = {review.verdict}
    if not review.rejected:
        met.add("not-rejected")
    if review.corrected:
        met.add("corrected")
    elif review.verdict is None:
        met.add("unreviewed")
    return met


def _scores(sample: Sample, key: str, criterion: str, where: str) -> Mapping[str, float]:
    """Class → the score of its mask in a sample, such as the confidence. If a person corrected the mask, all are the
    best. If the viewer made the mask anew, there are none.

    key: one of SCORES. criterion, where: names of the criterion and the set in errors. Raises UserError if the
    row lacks the key.
    """
    row = sample.row
    scores = getattr(sample.row, key)
    if row.review_or_empty.corrected:
        return dict.fromkeys(row.class_names, 1.0)
    if scores is not None:
        return scores
    if row.review_or_empty.remade or (row.classes is not None and not row.classes):
        return {}
    problem = f"needs `{key}`, and sample '{sample.name}' of {where} has none"
    raise UserError(criterion, problem, KEYS[key].writers)


def clean_sample(sample: Sample, classes: Sequence[str], least: int) -> Sample:
    """The sample without pieces of fewer than `least` pixels (`clean_labels`). If its label map changes, its row says
    so, and loses what describes the old one, except for flags. classes: the dataset's."""
    before = sample.labels(len(classes))
    after = clean_labels(before, least)
    if np.array_equal(before, after):
        return sample
    row = sample.row.of_other_mask(flags=sample.row.flags, least_piece=least).showing(shown_classes(after, classes))
    return repainted(sample, partial(_cleaned, sample, len(classes), least), row)


def _cleaned(sample: Sample, classes: int, least: int) -> np.ndarray:
    return clean_labels(sample.labels(classes), least)


def best_per_class(doubts: np.ndarray, shown: Sequence[Sequence[str]], count: int) -> set[int]:
    """The positions of the samples that are among the `count` least doubtful ones of any class. Of equally doubtful
    samples, the earlier goes first. doubts: (N,), of `doubt`. shown: the classes of each sample."""
    chosen: set[int] = set()
    order = np.argsort(doubts, kind="stable").tolist()
    for name in {*chain(*shown)}:
        chosen.update([i for i in order if name in shown[i]][:count])
    return chosen
