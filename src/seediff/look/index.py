"""Filters, sorts and counts the samples of a set, from columns of numbers in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ..errors import UserError
from ..files.messages import show_json
from ..rows.flags import flag_kind
from ..rows.row import LISTED, Row, said
from ..rows.shown import ids_by_name

STATES = ("unreviewed", "accepted", "rejected", "corrected")
BARS = 20
"""Number of ranges in a histogram."""
RANGES = ("area", *LISTED)
"""What has bounds in a `Query`: how much the chosen classes cover, and the scores of masks."""
SORTS = ("order", *RANGES, "flags", "miou")
"""What a list is sorted by."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which samples to show, and in which order. A sample must match every filter that is set."""

    classes: tuple[Annotated[int, msgspec.Meta(ge=1, le=254)], ...] = ()
    """Ids of classes. A sample must have at least one of them."""
    flags: tuple[str, ...] = ()
    """Kinds of flags, or "none" for a sample without flags. A sample must match at least one of them."""
    states: tuple[Literal["unreviewed", "accepted", "rejected", "corrected"], ...] = ()
    """A sample must be in at least one of these states."""
    bounds: dict[str, tuple[float, float]] = {}
    """One of RANGES → bounds, both included. `area` is the share of the picture that the chosen `classes` cover
    together; if no class is chosen, all classes count."""
    text: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    """A text that a sample's prompt, source or name must contain, in upper or lower case."""
    sort: str = "order"
    descending: bool = False

    def __post_init__(self) -> None:
        for name in self.bounds:
            if name not in RANGES:
                raise UserError(f"there is no filter {show_json(name)}")
        if self.sort not in SORTS:
            raise UserError(f"there is no order {show_json(self.sort)}")


class Index:
    """Columns of numbers about the samples of a set: row i of each column is about sample i."""

    def __init__(
        self,
        classes: Sequence[str],
        rows: Sequence[Row],
        scores: Mapping[str, float],
    ) -> None:
        self.ids = {name: number for name, number in ids_by_name(classes).items() if name}
        """Present name of a class → its id; without removed classes."""
        self.rows = rows
        count = len(rows)
        self.states = {name: np.zeros(count, bool) for name in STATES}
        self.present = np.zeros((count, len(classes) + 1), bool)
        """(samples, classes + 1) bool: whether a sample has the class of each id."""
        self.area = np.zeros((count, len(classes) + 1), np.float32)
        self.flagged: dict[str, np.ndarray] = {}
        """Kind of flag → (samples,) bool: whether each sample has it."""
        self.of_mask = {key: np.full(count, np.nan, np.float32) for key in LISTED}
        """Score of masks → (samples,) float32. As in `seediff filter`, a mask that a person corrected has the best. NaN
        stands for unknown, as for a mask that was made on the page."""
        self.miou = np.array([scores.get(row.sample, np.nan) for row in rows], np.float32)
        """(samples,) float32: each sample's mIoU with its prediction; NaN if unknown."""
        for number, row in enumerate(rows):
            self.update(number, row)

    def update(self, number: int, row: Row) -> None:
        """Set a sample's values in all columns. row: its current row of metadata.jsonl."""
        review = row.decided
        for name, members in self.states.items():
            members[number] = name == (said(review.verdict) or "unreviewed")
        self.states["corrected"][number] = bool(review.corrected)
        area = said(row.area) or {}
        self.present[number] = self.area[number] = 0
        for name in row.named:
            if name in self.ids:
                column = self.ids[name]
                self.present[number, column], self.area[number, column] = True, area.get(name, 0.0)
        for members in self.flagged.values():
            members[number] = False
        for flag in row.raised:
            self.flagged.setdefault(flag_kind(flag), np.zeros(len(self.rows), bool))[number] = True
        for key, values in self.of_mask.items():
            values[number] = LISTED[key].best if review.corrected else worst(row, key)

    def select(self, query: Query) -> tuple[np.ndarray, dict[str, Any], dict[str, list[int]]]:
        """(numbers, counts, histograms) for a query.

        numbers: the samples that match the query, in its order. counts: for each class, flag and state, how many
        samples the page would show if it were the only choice in its filter, and the other filters stayed.
        histograms: the same for BARS ranges from 0 to 1 of each of RANGES.
        """
        # 1. Which samples match each filter that is set
        everything, nothing = np.ones(len(self.rows), bool), np.zeros(len(self.rows), bool)
        unflagged = ~np.logical_or.reduce([nothing, *self.flagged.values()])
        members = {
            "classes": {number: self.present[:, number] for number in self.ids.values()},
            "flags": {**dict(sorted(self.flagged.items())), "none": unflagged},
            "states": self.states,
        }
        chosen = [number for number in self.ids.values() if number in query.classes]
        shares = (self.area[:, chosen] if query.classes else self.area).sum(1)
        values = {"area": shares, **self.of_mask}
        filters: dict[str, np.ndarray] = {}
        text = query.text.casefold().strip()
        if text:
            filters["text"] = np.array([text in searched for searched in self.texts], bool)
        for kind, of_kind in members.items():
            names = getattr(query, kind)
            if names:
                having = [of_kind[name] for name in names if name in of_kind]
                filters[kind] = np.logical_or.reduce([nothing, *having])
        for key, (low, high) in query.bounds.items():
            filters[key] = (values[key] >= low - 1e-6) & (values[key] <= high + 1e-6)

        # 2. How many samples another choice in one filter would show. but: a filter that does not count
        def match(but: str = "") -> np.ndarray:
            return np.logical_and.reduce([everything, *(fits for name, fits in filters.items() if name != but)])

        counts: dict[str, Any] = {}
        for kind, of_kind in members.items():
            others = match(but=kind)
            counts[kind] = {name: int((others & one).sum()) for name, one in of_kind.items()}
        histograms = {key: _bars(column[match(but=key)]) for key, column in values.items()}
        return self._sorted(np.flatnonzero(match()), query, values), counts, histograms

    @cached_property
    def texts(self) -> list[str]:
        """For each sample its prompt, source and name, which `Query.text` searches."""
        parts = [(said(row.prompt), said(row.source), row.sample) for row in self.rows]
        return ["\n".join(str(part or "") for part in of_row).casefold() for of_row in parts]

    def _sorted(self, shown: np.ndarray, query: Query, values: Mapping[str, np.ndarray]) -> np.ndarray:
        if query.sort == "order":
            return shown[::-1] if query.descending else shown
        flags = sum(self.flagged.values(), np.zeros(len(self.rows), np.int64))
        keys = {**values, "flags": flags, "miou": self.miou}[query.sort][shown]
        if query.descending:
            keys = -keys
        return shown[np.argsort(np.where(np.isnan(keys), np.inf, keys), kind="stable")]  # unknown values last


def worst(row: Row, key: str) -> float | None:
    """The worst value of a score of masks; None if it is unknown, as for a mask that replaced the original. row: the
    sample's current row. key: the score's, one of LISTED."""
    of_classes = said(getattr(row, key))
    if row.replaced or not of_classes:
        return None
    return LISTED[key].worst_of(of_classes.values())


def _bars(values: np.ndarray) -> list[int]:
    """The number of values in each of BARS equal ranges from 0 to 1. Lower values count in the first range, higher
    values in the last one."""
    return np.histogram(np.clip(values[~np.isnan(values)], 0, 1), BARS, (0, 1))[0].tolist()
