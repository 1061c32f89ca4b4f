"""The methods of masks and of segments, and what each expects of the capture. How they compute: masks/methods.py, segments/methods.py.

The paper's constants are the defaults of the dataclasses; a method that was described with others brings them along, so that naming it is
enough (docs/methods.md). A model's own constants for the method (presets.py) go before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UserError

Method = Literal["seediff", "ca", "ca_sa", "reference"]
"""Values of `MaskConfig.method`."""


@dataclass(frozen=True)
class MethodFacts:
    """cross, own: the option of MaskConfig that names the levels at which the method reads maps of cross-attention, and that for self-
    attention, or the levels themselves where no option does; None: it reads none. No other maps are captured for it. ablations: whether
    `expansion` and `background` say what of it is left out. plain_means: it is defined on plain means of attention. defaults: a table
    as `resolve` takes it, of constants other than the dataclasses'.
    """

    cross: str | tuple[int, ...]
    own: str | tuple[int, ...] | None
    ablations: bool = False
    plain_means: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


METHOD_FACTS: dict[str, MethodFacts] = {
    "seediff": MethodFacts("seed_level", "expand_levels", ablations=True),
    "ca": MethodFacts("expand_levels", None),
    "ca_sa": MethodFacts("seed_level", "self_level"),
    "reference": MethodFacts(
        "seed_level",
        "expand_levels",
        plain_means=True,
        defaults={"guidance_scale": 7.0, "capture": {"normalize": False, "steps": "all", "layers": "up"}},
    ),
}


SegmentMethodName = Literal["diffseg", "kmeans", "diffcut"]
"""Values of `SegmentConfig.method`."""


@dataclass(frozen=True)
class SegmentFacts:
    """timestep: the noise level that the method's authors pass to the UNet. options: the fields of SegmentConfig that it reads.
    divides_features: the features of a UNet's encoder instead of self-attention. refines_edges: `refine` fits segments to edges.
    """

    timestep: int
    options: tuple[str, ...]
    divides_features: bool = False
    refines_edges: bool = False


SEGMENT_FACTS: dict[SegmentMethodName, SegmentFacts] = {
    "diffseg": SegmentFacts(300, ("kl_threshold", "rounds", "num_points", "weights", "refine")),
    "kmeans": SegmentFacts(300, ("k", "weights")),
    "diffcut": SegmentFacts(50, ("cut_threshold", "cut_power", "refine"), divides_features=True, refines_edges=True),
}


def check_capture(method: Method, normalized: bool) -> None:
    """Raise UserError when a method cannot work with maps that were divided by their maxima (`CaptureConfig.normalize`)."""
    if normalized and METHOD_FACTS[method].plain_means:
        raise UserError(
            f"capture.normalize = true: method {method} works on plain means of attention; use --no-capture-normalize, "
            "or leave it out for the method's own"
        )
