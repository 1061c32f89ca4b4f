"""Selects the samples of a dataset that are worth training on, by their rows and label maps, and removes specks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

import numpy as np

from ...config.sets import Criteria
from ...errors import UserError
from ...rows.flags import check_flags, flag_kind
from ...rows.row import CONFIDENCE, KEYS, LISTED, Review
from ...rows.shown import shown_classes
from ...workers import Follow
from ..repaint import repainted
from ..sample import Sample
from ..shapes.changes import clean_labels
from .stats import measure


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
    check_flags(criteria.drop_flags, classes, chain(*(sample.row.raised for sample in samples)))
    stays, dropped = list[Sample](), Counter[str]()
    for sample in follow(samples):
        reason = _unmet(sample, classes, criteria, where)
        if reason:
            dropped[reason] += 1
        else:
            stays.append(sample)
    if criteria.best:
        sure = [_scores(sample, CONFIDENCE, "best", where) for sample in stays]
        chosen = sorted(best_per_class(sure, criteria.best))
        dropped["best"] = len(stays) - len(chosen)
        stays = [stays[i] for i in chosen]
    return stays, +dropped


def _unmet(sample: Sample, classes: Sequence[str], criteria: Criteria, where: str) -> str | None:
    """The first criterion that a sample does not meet; None if it meets all. This does not include `best`, which
    compares samples. classes: the dataset's classes. where: its name in errors. Raises UserError."""
    row = sample.row
    if criteria.reviewed is not None and criteria.reviewed not in _decisions(row.decided):
        return "reviewed"
    if any({"all", flag, flag_kind(flag)} & {*criteria.drop_flags} for flag in row.raised):
        return "flags"
    if criteria.min_area > 0 or criteria.max_area < 1 or criteria.max_components is not None:
        measured = measure(sample.labels(len(classes)), criteria.min_piece)
        shown = shown_classes(measured.counts, classes, row.named, f"sample '{sample.name}'")
        if not all(criteria.min_area <= measured.areas[i] <= criteria.max_area for i in shown.class_ids):
            return "area"
        if criteria.max_components and measured.pieces.max() > criteria.max_components:
            return "components"
    for key, listed in LISTED.items():
        criterion = f"{listed.bound}_{key}"
        bound = getattr(criteria, criterion)
        if bound is None:
            continue
        scores = _scores(sample, key, criterion, where).values()
        # A picture without a class has no mask to be certain of.
        if not scores or listed.is_worse(listed.worst_of(scores), bound):
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

    key: one of LISTED. criterion, where: names of the criterion and the set in errors. Raises UserError if the
    row lacks the key.
    """
    row, scores = sample.row, getattr(sample.row, key)
    if row.decided.corrected:
        return dict.fromkeys(row.named, LISTED[key].best)
    if scores is not None:
        return scores
    if row.decided.remade or (row.classes is not None and not row.classes):
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


def best_per_class(confidences: Sequence[Mapping[str, float]], count: int) -> set[int]:
    """The positions of the samples that are among the `count` surest samples of any class. Of equally sure samples, the
    earlier goes first. confidences: for each sample, class → confidence."""
    chosen: set[int] = set()
    for name in set[str]().union(*confidences):
        having = [i for i, sure in enumerate(confidences) if name in sure]
        chosen.update(sorted(having, key=lambda i: -confidences[i][name])[:count])
    return chosen
