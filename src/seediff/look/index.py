"""Filters, sorts and counts the samples of a set, on columns of numbers in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ..dataset.reviews import is_corrected, is_made, is_replaced
from ..dataset.rows import OF_THE_MASK
from ..masks.flags import flag_kind

VERDICTS = ("unreviewed", "accepted", "rejected")
"""The position of a verdict is its number in `Index.verdict`."""
BARS = 20
"""Number of ranges in a histogram."""
Sort = Literal["order", "name", "area", "confidence", "agreement", "flags", "recent", "different"]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which samples to show, in which order. classes, flags, states: a sample needs any of them; classes are ids, flags
    kinds or "none". area, confidence, agreement: closed ranges; the area is the share of the chosen classes together,
    or of all classes if none is chosen. text: part of the prompt, the source or the name, ignoring case."""

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
    """Columns over the samples of a set. `update` refreshes the values of one sample."""

    def __init__(self, classes: Sequence[str], names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        self.ids = {name: i for i, name in enumerate(classes, 1)}
        self.names = names
        self.rows = list(rows)
        count = len(rows)
        self.changed = np.zeros(count, np.int64)
        """When each sample was last acted on: a number that grows with every action, 0 for none."""
        self.confidence = np.full(count, np.nan, np.float32)
        self.agreement = np.full(count, np.nan, np.float32)
        self.different = np.full(count, np.nan, np.float32)
        """The share of pixels that have another class in the set to compare with."""
        self.kinds: dict[str, int] = {}
        self._texts: list[str] | None = None
        self._clock = 0
        self.recount()

    def recount(self) -> None:
        """Rebuild the columns of verdicts, classes, areas, flags, confidences and agreements after a change to
        `rows`.
        """
        self.verdict = np.array([_verdict(row) for row in self.rows], np.int8)
        self.corrected = np.array([is_corrected(row) for row in self.rows], bool)
        self.made = np.array([is_made(row) for row in self.rows], bool)
        self._changed_pairs: dict[int, list[tuple[int, float]]] = {}
        pairs: list[tuple[int, int, float]] = []
        flags: list[tuple[int, int]] = []
        for number, row in enumerate(self.rows):
            pairs += [(number, class_id, share) for class_id, share in self._pairs(row)]
            for kind in {flag_kind(flag) for flag in row.get("flags") or ()}:
                flags.append((number, self.kinds.setdefault(kind, len(self.kinds))))
            for key in OF_THE_MASK:
                if values := row.get(key):
                    getattr(self, key)[number] = min(values.values())
        self.pair_sample = np.array([p[0] for p in pairs], np.int32)
        self.pair_class = np.array([p[1] for p in pairs], np.uint8)
        self.pair_area = np.array([p[2] for p in pairs], np.float32)
        self.flag_sample = np.array([f[0] for f in flags], np.int32)
        self.flag_kind = np.array([f[1] for f in flags], np.int16)

    def _pairs(self, row: Mapping[str, Any]) -> list[tuple[int, float]]:
        area = row.get("area") or {}
        return [(self.ids[name], float(area.get(name, 0.0))) for name in row.get("classes") or () if name in self.ids]

    def update(self, number: int, row: Mapping[str, Any], *, acted: bool = True) -> None:
        """Set a sample's values from its current row. acted: whether somebody acted on the sample, which makes it the
        most recent.
        """
        self.verdict[number], self.corrected[number], self.made[number] = _verdict(row), is_corrected(row), is_made(row)
        if acted:
            self._clock += 1
            self.changed[number] = self._clock
        if is_replaced(row) or number in self._changed_pairs:
            self._changed_pairs[number] = self._pairs(row)
            at = slice(*np.searchsorted(self.pair_sample, (number, number + 1)))
            self.pair_class[at] = 0  # the original mask's classes no longer count
            known = [
                (self.kinds.setdefault(kind, len(self.kinds)))
                for kind in {flag_kind(flag) for flag in row.get("flags") or ()}
            ]
            keep = self.flag_sample != number
            self.flag_sample = np.concatenate([self.flag_sample[keep], np.full(len(known), number, np.int32)])
            self.flag_kind = np.concatenate([self.flag_kind[keep], np.array(known, np.int16)])

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Three columns with an entry per class and sample: sample number, class id, area."""
        more = [(number, other, share) for number, pairs in self._changed_pairs.items() for other, share in pairs]
        valid = self.pair_class > 0
        columns = self.pair_sample[valid], self.pair_class[valid], self.pair_area[valid]
        if not more:
            return columns
        return tuple(
            np.concatenate([column, np.array([other[i] for other in more], column.dtype)])
            for i, column in enumerate(columns)
        )  # type: ignore[return-value]

    def select(self, query: Query) -> tuple[np.ndarray, dict[str, Any], dict[str, list[int]]]:
        """The numbers of the samples that match the query, in its order; counts; and histograms.

        counts: for each class, flag and state, how many samples have it and match the query's other filters; and the
        number of all samples. histograms: the same for each of BARS ranges from 0 to 1 of area, of confidence and of
        agreement.
        """
        count = len(self.rows)
        sample, class_id, area = self.pairs()
        everything = np.ones(count, bool)
        of_class = _members(count, sample[np.isin(class_id, query.classes)]) if query.classes else everything
        wanted = [self.kinds[kind] for kind in query.flags if kind in self.kinds]
        of_flag = everything
        if query.flags:
            of_flag = _members(count, self.flag_sample[np.isin(self.flag_kind, wanted)])
            if "none" in query.flags:
                of_flag = of_flag | ~_members(count, self.flag_sample)
        of_state = everything
        if query.states:
            of_state = np.isin(self.verdict, [VERDICTS.index(state) for state in query.states if state != "corrected"])
            if "corrected" in query.states:
                of_state = of_state | self.corrected
        counted = np.isin(class_id, query.classes) if query.classes else slice(None)
        shares = np.bincount(sample[counted], area[counted], minlength=count) if len(sample) else np.zeros(count)
        of_text = self._with_text(query.text)
        values = {"area": shares, **{key: self._of_mask(key) for key in OF_THE_MASK}}
        within = {key: _within(column, getattr(query, key)) for key, column in values.items()}
        rest = of_text & np.logical_and.reduce(list(within.values()))

        shown = rest & of_class & of_flag & of_state
        but_ranges = of_text & of_class & of_flag & of_state
        histograms = {}
        for key, column in values.items():
            others = [fits for other, fits in within.items() if other != key]
            histograms[key] = _bars(column[np.logical_and.reduce([but_ranges, *others])])
        but_class, but_flag, but_state = (
            rest & of_flag & of_state,
            rest & of_class & of_state,
            rest & of_class & of_flag,
        )
        by_class = np.bincount(class_id[but_class[sample]], minlength=256)
        by_flag = np.bincount(self.flag_kind[but_flag[self.flag_sample]], minlength=len(self.kinds))
        by_verdict = np.bincount(self.verdict[but_state], minlength=3)
        counts = {
            "classes": {str(i): int(by_class[i]) for i in self.ids.values()},
            "flags": {
                **{kind: int(by_flag[number]) for kind, number in sorted(self.kinds.items())},
                "none": int((but_flag & ~_members(count, self.flag_sample)).sum()),
            },
            "states": {
                **{name: int(by_verdict[i]) for i, name in enumerate(VERDICTS)},
                "corrected": int((but_state & self.corrected).sum()),
            },
            "all": count,
        }
        return self._sorted(np.flatnonzero(shown), query, shares), counts, histograms

    def _of_mask(self, key: str) -> np.ndarray:
        """(count,) confidence or agreement, as `seediff filter` takes it. The number describes the original: a
        corrected mask has 1, and that of a mask that was made here is unknown."""
        return np.where(self.corrected, np.float32(1), np.where(self.made, np.float32(np.nan), getattr(self, key)))

    def _with_text(self, text: str) -> np.ndarray:
        matches = np.ones(len(self.rows), bool)
        if wanted := text.casefold().strip():
            if self._texts is None:
                pairs = zip(self.names, self.rows, strict=True)
                self._texts = [
                    f"{row.get('prompt') or ''}\n{row.get('source') or ''}\n{name}".casefold() for name, row in pairs
                ]
            matches = np.fromiter((wanted in text_of for text_of in self._texts), bool, len(self._texts))
        return matches

    def _sorted(self, shown: np.ndarray, query: Query, shares: np.ndarray) -> np.ndarray:
        match query.sort:
            case "order":
                return shown[::-1] if query.descending else shown
            case "name":
                names = sorted(shown.tolist(), key=self.names.__getitem__, reverse=query.descending)
                return np.array(names, np.int64)
            case "area":
                by = shares
            case "confidence" | "agreement":
                by = _unknown_last(self._of_mask(query.sort), query)
            case "different":
                by = _unknown_last(self.different, query)
            case "flags":
                by = np.bincount(self.flag_sample, minlength=len(self.rows))
            case _:
                by = self.changed
        values = by[shown]
        return shown[np.argsort(-values if query.descending else values, kind="stable")]


def _verdict(row: Mapping[str, Any]) -> int:
    return VERDICTS.index(row.get("review", {}).get("verdict") or "unreviewed")


def _unknown_last(values: np.ndarray, query: Query) -> np.ndarray:
    return np.where(np.isnan(values), -np.inf if query.descending else np.inf, values)


def _within(values: np.ndarray, bounds: tuple[float, float] | None) -> np.ndarray:
    """(count,) bool: whether each value is within closed bounds; True for all values if there are no bounds."""
    if bounds is None:
        return np.ones(len(values), bool)
    return (values >= bounds[0] - 1e-6) & (values <= bounds[1] + 1e-6)


def _bars(values: np.ndarray) -> list[int]:
    """The number of values in each of BARS ranges from 0 to 1. Values beyond count in the first or last range, NaN in
    none.
    """
    places = np.clip(values[~np.isnan(values)] * BARS, 0, BARS - 1).astype(np.int64)
    return np.bincount(places, minlength=BARS).tolist()


def _members(count: int, numbers: np.ndarray) -> np.ndarray:
    """(count,) bool: True at each of the given numbers."""
    members = np.zeros(count, bool)
    members[numbers] = True
    return members
