"""The mask and segment methods: what each method reads, and its constants. masks/make_masks.py has their functions.

The dataclasses' defaults are the paper's constants. A method that was published with other constants has them in
`defaults`, so that its name is enough (docs/methods.md). A model's own constants for a method are stronger
(presets.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UserError
from .fields import Count, Positive, Several

Method = Literal["seediff", "ca", "ca_sa", "daam"]
"""The names of the package's own mask methods. `register_method` (masks/own.py) adds others."""


@dataclass(frozen=True)
class Finish:
    """The steps from a soft map to a mask of the image's size. The defaults are SeeDiff's steps 5 and 6. Where
    `iterations`, `dilations` or `threshold` is None, `MaskConfig` has the value."""

    resize: Literal["bilinear", "bicubic"] = "bilinear"
    stretch: bool = False
    """Stretch maps to [0, 1] again after resizing."""
    cut: float | None = None
    """Threshold before PAMR. None: PAMR refines the soft map itself."""
    bandwidth: Positive = 0.1
    """PAMR's bandwidth, in standard deviations of the image."""
    iterations: Count | None = None
    dilations: Several | None = None
    threshold: float | None = None
    """Threshold after PAMR."""


LevelOption = Literal["seed_level", "expand_levels", "self_level"]
"""Fields of MaskConfig that set levels of attention."""


@dataclass(frozen=True)
class Levels:
    """The levels at which a method reads each kind of attention: the levels themselves, or the field of MaskConfig that
    sets them. None: the method does not read this kind."""

    cross: LevelOption | Several | None = None
    self: LevelOption | Several | None = None


@dataclass(frozen=True)
class MethodFacts:
    """The facts about a mask method, without its function."""

    levels: Levels | None = None
    """The levels that the method reads. None: they are not known, so the method gets all levels."""
    options: tuple[str, ...] = ()
    """The fields of MaskConfig that this method reads and some other methods do not read. Fields that set levels are
    not among them."""
    plain_means: bool = False
    """Whether the method needs plain means of attention, not maps that were divided by their maxima."""
    all_levels: bool = False
    """Whether the SeeDiff paper gives the method all levels (`resolve.ALL_LEVELS`)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Its constants that differ from the dataclasses' defaults."""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Model → the method's constants for it, with the same tables as a model's preset."""
    finish: Finish = Finish()
    user_function: Callable[..., Any] | None = None
    """The function of a user's own method (masks/own.py); None for the package's methods."""

    @property
    def special_options(self) -> set[str]:
        """`options`, and the fields that set the method's levels, if fields do."""
        read = (self.levels.cross, self.levels.self) if self.levels else ()
        return {*self.options, *(levels for levels in read if isinstance(levels, str))}


METHOD_FACTS: dict[str, MethodFacts] = {
    "seediff": MethodFacts(Levels("seed_level", "expand_levels"), ("alpha", "expansion", "background")),
    "ca": MethodFacts(Levels("expand_levels"), all_levels=True, finish=Finish(stretch=True)),
    "ca_sa": MethodFacts(Levels("seed_level", "self_level"), ("tau",)),
    # DAAM sums plain probabilities, and its best published threshold is 0.4.
    "daam": MethodFacts(
        Levels("expand_levels"),
        plain_means=True,
        all_levels=True,
        defaults={"mask": {"beta": 0.4}, "capture": {"normalize": False}},
        finish=Finish(resize="bicubic", stretch=True),
    ),
}


def own_methods() -> dict[str, MethodFacts]:
    """Name → facts of the methods that users registered, which other processes of the run need."""
    return {name: facts for name, facts in METHOD_FACTS.items() if facts.user_function is not None}


SegmentMethodName = Literal["diffseg", "kmeans", "diffcut"]
SEGMENT_OPTIONS: dict[SegmentMethodName, tuple[str, ...]] = {
    "diffseg": ("kl_threshold", "rounds", "num_points", "weights", "refine"),
    "kmeans": ("k", "weights"),
    "diffcut": ("cut_threshold", "cut_power"),
}
"""Segment method → the fields of SegmentConfig that this method reads and some other methods do not read."""


def check_capture(method: str, normalized: bool, fix: str = "leave it out for the method's own") -> None:
    """Raise UserError if a method cannot use maps that were divided by their maxima. normalized: whether the maps
    are."""
    if METHOD_FACTS[method].plain_means and normalized:
        raise UserError("capture.normalize", f"true: method {method} works on plain means of attention", fix)
