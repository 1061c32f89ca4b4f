"""Filters, sorts and counts the samples of a set, on columns of numbers in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ..dataset.rows import OF_THE_MASK, as_row
from ..masks.flags import flag_kind

VERDICTS = ("unreviewed", "accepted", "rejected")
"""The position of a verdict is its number in `Index.verdict`."""
BARS = 20
"""Number of ranges in a histogram."""
Sort = Literal["order", "name", "area", "confidence", "agreement", "flags", "recent", "miou"]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which samples to show, in which order. classes (ids), flags (kinds, or "none"), states: a sample needs any of
    them. area, confidence, agreement: closed ranges; the area is that of the chosen classes together, or of all. text:
    part of the prompt, the source or the name, ignoring case."""

    classes: tuple[Annotated[int, msgspec.Meta(ge=1, le=254)], ...] = ()
    flags: tuple[str, ...] = ()
    states: tuple[Literal["unreviewed", "accepted", "rejected", "corrected"], ...] = ()
    area: tuple[float, float] | None = None
    confidence: tuple[float, float] | None = None
    agreement: tuple[float, float] | None = None
    text: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    sort: Sort = "order"
    descending: bool = False


class Index:
    """Columns over the samples of a set: one row of numbers a sample, which `update` sets."""

    def __init__(
        self,
        classes: Sequence[str],
        names: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
        scores: Mapping[str, float],
    ) -> None:
        self.ids = {name: i for i, name in enumerate(classes, 1)}
        self.names, self.rows = names, rows
        count = len(rows)
        self.verdict = np.zeros(count, np.int8)
        self.corrected = np.zeros(count, bool)
        self.present = np.zeros((count, len(classes) + 1), bool)
        """Which classes each sample has, by id."""
        self.area = np.zeros((count, len(classes) + 1), np.float32)
        self.flagged: dict[str, np.ndarray] = {}
        """Kind of flag → (count,) which samples have it."""
        self.of_mask = {key: np.full(count, np.nan, np.float32) for key in OF_THE_MASK}
        """Confidence and agreement as `seediff filter` takes them: a corrected mask has 1, and that of a mask that was
        made here is unknown."""
        self.miou = np.array([scores.get(name, np.nan) for name in names], np.float32)
        """Of the predictions that the set is compared with; NaN if unknown."""
        self.changed = np.zeros(count, np.int64)
        """When each sample was last acted on: a number that grows with every action, 0 for none."""
        self._clock = 0
        for number, row in enumerate(rows):
            self.update(number, row, acted=False)

    def add_class(self, name: str) -> None:
        self.ids[name] = len(self.ids) + 1
        self.present, self.area = (np.pad(column, ((0, 0), (0, 1))) for column in (self.present, self.area))

    def update(self, number: int, row: Mapping[str, Any], *, acted: bool = True) -> None:
        """Set a sample's values from its current row. acted: somebody acted on it, which makes it the most recent."""
        if acted:
            self._clock += 1
            self.changed[number] = self._clock
        review = as_row(row).review
        self.verdict[number] = VERDICTS.index(review.verdict or "unreviewed")
        self.corrected[number] = review.corrected
        area = row.get("area") or {}
        self.present[number] = self.area[number] = 0
        for name in row.get("classes") or ():
            if name in self.ids:
                column = self.ids[name]
                self.present[number, column], self.area[number, column] = True, area.get(name, 0.0)
        for members in self.flagged.values():
            members[number] = False
        for flag in row.get("flags") or ():
            self.flagged.setdefault(flag_kind(flag), np.zeros(len(self.rows), bool))[number] = True
        for key, values in self.of_mask.items():
            of_classes = row.get(key)
            if review.corrected:
                values[number] = 1
            elif review.made is not None or not of_classes:
                values[number] = np.nan
            else:
                values[number] = min(of_classes.values())

    def select(self, query: Query) -> tuple[np.ndarray, dict[str, Any], dict[str, list[int]]]:
        """The numbers of the samples that match the query, in its order; counts; and histograms.

        counts: for each class, flag and state, how many samples have it and match the query's other filters.
        histograms: the same for each of BARS ranges from 0 to 1 of area, of confidence and of agreement.
        """
        # 1. Which samples match each filter that is set
        everything = np.ones(len(self.rows), bool)
        unflagged = ~np.logical_or.reduce([~everything, *self.flagged.values()])
        members = {
            "classes": {str(number): self.present[:, number] for number in self.ids.values()},
            "flags": {**dict(sorted(self.flagged.items())), "none": unflagged},
            "states": {name: self.verdict == i for i, name in enumerate(VERDICTS)} | {"corrected": self.corrected},
        }
        wanted = {"classes": [str(number) for number in query.classes], "flags": query.flags, "states": query.states}
        chosen = [number for number in self.ids.values() if number in query.classes]
        shares = (self.area[:, chosen] if query.classes else self.area).sum(1)
        values = {"area": shares, **self.of_mask}
        filters: dict[str, np.ndarray] = {}
        text = query.text.casefold().strip()
        if text:
            filters["text"] = np.array([text in searched for searched in self.texts], bool)
        for kind, names in wanted.items():
            if names:
                having = [members[kind][name] for name in names if name in members[kind]]
                filters[kind] = np.logical_or.reduce([~everything, *having])
        for key, column in values.items():
            bounds = getattr(query, key)
            if bounds:
                filters[key] = (column >= bounds[0] - 1e-6) & (column <= bounds[1] + 1e-6)

        # 2. How many there would be with another choice of one filter
        def match(but: str = "") -> np.ndarray:
            return np.logical_and.reduce([everything, *(fits for name, fits in filters.items() if name != but)])

        counts: dict[str, Any] = {}
        for kind, of_kind in members.items():
            others = match(but=kind)
            counts[kind] = {name: int((others & one).sum()) for name, one in of_kind.items()}
        histograms = {key: _bars(column[match(but=key)]) for key, column in values.items()}
        return self._sorted(np.flatnonzero(match()), query, shares), counts, histograms

    @cached_property
    def texts(self) -> list[str]:
        """What is searched of each sample: its prompt, source and name."""
        parts = [(row.get("prompt"), row.get("source"), self.names[i]) for i, row in enumerate(self.rows)]
        return ["\n".join(str(part or "") for part in of_row).casefold() for of_row in parts]

    def _sorted(self, shown: np.ndarray, query: Query, shares: np.ndarray) -> np.ndarray:
        if query.sort == "order":
            return shown[::-1] if query.descending else shown
        if query.sort == "name":
            return np.array(sorted(shown.tolist(), key=self.names.__getitem__, reverse=query.descending), np.int64)
        keys = {
            "area": shares,
            **self.of_mask,
            "flags": sum(self.flagged.values(), np.zeros(len(self.rows), np.int64)),
            "recent": self.changed,
            "miou": self.miou,
        }[query.sort][shown]
        if query.descending:
            keys = -keys
        return shown[np.argsort(np.where(np.isnan(keys), np.inf, keys), kind="stable")]  # unknown values last


def _bars(values: np.ndarray) -> list[int]:
    """The number of values in each of BARS ranges from 0 to 1, which those beyond are moved into."""
    return np.histogram(np.clip(values[~np.isnan(values)], 0, 1), BARS, (0, 1))[0].tolist()
