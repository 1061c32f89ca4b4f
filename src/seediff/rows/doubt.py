"""The order of doubt: which samples of a set are likeliest to be labelled wrongly. `look`, `filter`, `check`, `doubt`
and preview.html follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .row import Row


class Doubtful(NamedTuple):
    """A sample that a person should look at. position: of its row. class_name: the class that the lower of its figures
    is about."""

    position: int
    class_name: str


def doubt(rows: Sequence[Row]) -> np.ndarray:
    """(N,) float64 in [0, 1]: one number for each row, higher for one that is more doubtful among these rows.

    Of the ranks of its `support` and of its lowest `confidence`, in (0, 1], the lower one r counts, as 1 − r. A row
    with both has `(1 − r)²`, the chance that neither of two random ranks is as low as r (Tippett), so that rows with
    one and with both figures compare in a merged set. A row with neither has 0.5. What people decided changes
    nothing."""
    ranks = _ranks(rows)
    count = (~np.isnan(ranks)).sum(1)
    return np.where(count > 0, (1 - np.fmin(*ranks.T)) ** count.clip(1), 0.5)


def most_doubtful(rows: Sequence[Row], count: int = 10) -> list[Doubtful]:
    """The first of these rows in the order of doubt, without those that people judged or corrected, and without those
    that have no figure. Of equally doubtful ones, the earlier goes first."""
    ranks = _ranks(rows)
    found = list[Doubtful]()
    for position in np.argsort(-doubt(rows), kind="stable").tolist():
        row = rows[position]
        if len(found) < count and not np.isnan(ranks[position]).all() and not row.review_or_empty.judged:
            of_support, of_confidence = ranks[position]
            scores = row.support if of_support <= of_confidence or np.isnan(of_confidence) else row.confidence
            found.append(Doubtful(position, min(scores or {}, key=(scores or {}).__getitem__)))
    return found


def changed_since(supported: Sequence[bool], rows: Sequence[Row]) -> int:
    """How many masks of a set `doubt` has not seen: they were changed or came after its last run. 0 if it never ran.

    supported: whether each row of metadata.jsonl has support. rows: the same with what people decided. `doubt` gives no
    support to a mask that was changed in `look` before, nor to a sample that training leaves out."""
    if not any(supported):
        return 0
    unseen = 0
    for had, row in zip(supported, rows, strict=True):
        unseen += row.support is None if had else not (row.replaced or row.why_left_out())
    return unseen


def _ranks(rows: Sequence[Row]) -> np.ndarray:
    """(N, 2): the ranks of `support` and of the lowest `confidence` among those of all rows, in (0, 1]; NaN for a row
    without one."""
    ranks = np.array([[_lowest(row.support), _lowest(row.confidence)] for row in rows]).reshape(-1, 2)
    for column in ranks.T:
        known = ~np.isnan(column)
        column[known] = np.searchsorted(np.sort(column[known]), column[known], "right") / max(known.sum(), 1)
    return ranks


def _lowest(scores: Mapping[str, float] | None) -> float:
    return min((scores or {}).values(), default=np.nan)
