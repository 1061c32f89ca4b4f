"""The floors of a study of segments: what divisions score that never look at the picture, and how far above them each method is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...config.constants import SegmentConfig
from ...evaluate.floors import FLOORS, score_floors
from .scores import Blind, Outcome, Way

AS_MANY = "grid"
"""The floor that each method has its own of, for it has as many segments as the method made."""


def with_floors(ways: Mapping[str, Way]) -> dict[str, Way]:
    """The ways and, after them, every floor, and for each method a grid of as many segments as it makes."""
    methods = [name for name, way in ways.items() if isinstance(way, SegmentConfig)]
    fixed = {_blind(floor): Blind(floor) for floor in FLOORS if floor != AS_MANY}
    return {**ways, **fixed, **{_blind(AS_MANY, name): Blind(AS_MANY, like=name) for name in methods}}


def floor_figures(tested: Mapping[str, Outcome]) -> dict[str, Any]:
    """Scores with intervals of the floors that are the same for all methods, by name."""
    return {floor: tested[_blind(floor)].figures() for floor in FLOORS if floor != AS_MANY}


def ahead_of_floors(tested: Mapping[str, Outcome], methods: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, Any]:
    """Method → floor → the floor's mean number of segments, acc and miou, and in `ahead` how far the method is above it.

    methods: the name that a method is shown by → that of its way in `tested`. colours: the same for K-Means on colour and position,
    which looks at the picture, but with no model.
    """
    return {shown: _ahead(tested, name, colours) for shown, name in methods.items()}


def _ahead(tested: Mapping[str, Outcome], method: str, colours: Mapping[str, str]) -> dict[str, Any]:
    floor_scores = {floor: tested[_blind(floor, method if floor == AS_MANY else "")] for floor in FLOORS}
    floor_scores |= {shown: tested[name] for shown, name in colours.items()}
    counts = {floor: outcome.counts() for floor, outcome in floor_scores.items()}
    scores = score_floors(tested[method].counts(), counts, {floor: outcome.segments for floor, outcome in floor_scores.items()})
    return {floor: _rounded(asdict(score)) for floor, score in scores.items()}


def _blind(floor: str, like: str = "") -> str:
    """What a floor's way is called among the others."""
    return f"blind {floor} {like}".rstrip()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, tuple) else round(value, 4)
