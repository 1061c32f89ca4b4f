"""The methods of masks, and what each expects of the capture: one table. How a method computes is masks/methods.py.

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
    """levels: the options of MaskConfig that name levels of attention which the method reads. levels_in_parallel: the same where
    `expansion` is "none" or "parallel"; None: no other. self_attention: whether it reads maps of self-attention. plain_means: it is
    defined on plain means of attention. defaults: a table as `build` takes it, of constants other than the dataclasses'.
    """

    levels: tuple[str, ...]
    levels_in_parallel: tuple[str, ...] | None = None
    self_attention: bool = True
    plain_means: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


METHOD_FACTS: dict[str, MethodFacts] = {
    "seediff": MethodFacts(("seed_level", "expand_levels"), levels_in_parallel=("expand_levels",)),
    "ca": MethodFacts(("expand_levels",), self_attention=False),
    "ca_sa": MethodFacts(("seed_level", "self_level")),
    "reference": MethodFacts(
        ("seed_level", "expand_levels"),
        plain_means=True,
        defaults={"guidance_scale": 7.0, "capture": {"normalize": False, "steps": "all", "layers": "up"}},
    ),
}


def check_capture(method: Method, normalized: bool) -> None:
    """Raise UserError when a method cannot work with maps that were divided by their maxima (`CaptureConfig.normalize`)."""
    if normalized and METHOD_FACTS[method].plain_means:
        raise UserError(
            f"capture.normalize = true: method {method} works on plain means of attention; use --no-capture-normalize, "
            "or leave it out for the method's own"
        )
