"""The mask and segment methods: what each method reads, and its constants. The mask methods' functions are in
masks/methods.py, the segment methods' in segments/make_segments.py.

The defaults in method_constants.py are the SeeDiff paper's constants. A method with other published constants has them
in `MethodFacts.defaults`, so users need only its name (docs/methods.md). Constants tuned for a model take precedence
(presets.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UserError
from .fields import Count, Positive, Several

Method = Literal["seediff", "ca", "ca_sa", "daam"]
"""The names of the package's own mask methods. `register_method` (masks/user_method.py) adds others."""


@dataclass(frozen=True)
class Finish:
    """How a soft map becomes a mask of the image's size. The defaults are SeeDiff's steps 5 and 6. For a value of None,
    `MaskConfig` has the value: `pamr_iterations`, `pamr_dilations` or `beta`."""

    resize: Literal["bilinear", "bicubic"] = "bilinear"
    stretch: bool = False
    """Stretch maps to [0, 1] again after resizing."""
    cut: float | None = None
    """Threshold that makes a mask before PAMR refines it. None: PAMR refines the soft map."""
    bandwidth: Positive = 0.1
    """PAMR's bandwidth, in standard deviations of the image."""
    iterations: Count | None = None
    dilations: Several | None = None
    threshold: float | None = None
    """Threshold after PAMR."""


LevelOption = Literal["seed_level", "expand_levels", "self_level"]
"""A field of MaskConfig that sets levels of attention."""


@dataclass(frozen=True)
class Levels:
    """The levels at which a method reads cross- and self-attention: fixed levels, or the field of MaskConfig that sets
    them. None: the method does not read this kind."""

    cross: LevelOption | Several | None = None
    self: LevelOption | Several | None = None


@dataclass(frozen=True)
class MethodFacts:
    """What is known about a mask method besides its function."""

    levels: Levels | None = None
    """The levels that the method reads. None: unknown, so all levels are captured."""
    options: tuple[str, ...] = ()
    """The fields of MaskConfig that this method reads and some other methods do not read, without those in `levels`."""
    plain_means: bool = False
    """Whether the method needs plain means of attention, instead of means of maps divided by their maxima."""
    all_levels: bool = False
    """Whether the SeeDiff paper gives the method all levels (`resolve.ALL_LEVELS`)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The constants that differ from the defaults of MaskConfig and other configurations: table → field → value."""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Model → the method's constants for it, in the form of `defaults`."""
    finish: Finish = Finish()
    user_function: Callable[..., Any] | None = None
    """The function of a user's own method (masks/user_method.py); None for the package's methods."""

    @property
    def special_options(self) -> set[str]:
        """`options`, and the fields in `levels`."""
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
    """Name → facts, of the methods that users registered. Other processes of a run must register them, too."""
    return {name: facts for name, facts in METHOD_FACTS.items() if facts.user_function is not None}


SegmentMethodName = Literal["diffseg", "kmeans", "diffcut"]
SEGMENT_OPTIONS: dict[SegmentMethodName, tuple[str, ...]] = {
    "diffseg": ("kl_threshold", "rounds", "num_points", "weights", "refine"),
    "kmeans": ("k", "weights"),
    "diffcut": ("cut_threshold", "cut_power"),
}
"""Segment method → the fields of SegmentConfig that this method reads and some other methods do not read."""


def methods_with(option: str) -> tuple[str, ...]:
    """The package's methods that read an option, if others do not read it; empty for an option without a method.
    option: a flat name, such as `mask.tau`."""
    table, _, field = option.partition(".")
    read_by: list[tuple[str, Collection[str]]] = []
    if table == "mask":
        packaged = {method: facts for method, facts in METHOD_FACTS.items() if facts.user_function is None}
        read_by = [(method, facts.special_options) for method, facts in packaged.items()]
    elif table == "segment":
        read_by = [*SEGMENT_OPTIONS.items()]
    return tuple(method for method, options in read_by if field in options)


def check_capture(method: str, normalized: bool, fix: str = "leave it out for the method's own") -> None:
    """Raise UserError if a method needs plain means of attention, and the maps are others. method: its name.
    normalized: whether the maps were divided by their maxima. fix: what the message advises."""
    if METHOD_FACTS[method].plain_means and normalized:
        raise UserError("capture.normalize", f"true: method {method} works on plain means of attention", fix)
