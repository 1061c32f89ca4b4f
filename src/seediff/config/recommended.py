"""The constants of masks and of capture that a model is best begun with, for those who call the methods themselves.

found = recommended_mask("sdxl")
soft = soft_mask(maps, "dog", found.mask)       # at levels that SDXL has
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..models.about import About, look_up
from .constants import CaptureConfig, MaskConfig
from .levels import check_kinds, fit_levels
from .presets import model_preset, with_method_defaults


@dataclass(frozen=True)
class Recommended:
    """mask, capture: configurations. tuned: whether anybody sought their constants for this model, on exact masks or, of Stable Diffusion 1
    and 2, for the papers; if not, they are the papers', at the levels that the model has. notes: what was changed, one line each.

    `capture` is that of photographs, whose noise levels all count; of drawing, some models capture the steps `own_capture_steps` alone."""

    mask: MaskConfig
    capture: CaptureConfig
    tuned: bool
    notes: tuple[str, ...] = ()


def recommended_mask(model: str, method: str | None = None) -> Recommended:
    """For a name from `seediff models`, a local folder or a hub id, and `method`; None: the one that the model recommends.

    Of a hub id that is neither known by name nor in the cache, the papers', not tuned. Raises UserError for a method that the model has no
    maps for, and for a broken preset.
    """
    about = look_up(model)
    own = model_preset(model, method)
    table = with_method_defaults({**(about.defaults() if about else {}), **own}, method)
    chosen: dict[str, Any] = {**table.get("mask", {}), **({"method": method} if method else {})}
    mask, capture = MaskConfig(**chosen), CaptureConfig(**table.get("capture", {}))
    if about is None:
        return Recommended(mask, capture, tuned=False)
    check_kinds(about.family, mask)
    notes: list[str] = []
    if about.network:
        mask, notes = fit_levels(about.network, mask, capture, about.family)
    return Recommended(mask, capture, is_tuned_for(about, mask.method), tuple(notes))


def is_tuned_for(about: About, method: str) -> bool:
    """Whether the constants of a method of masks were sought for this model."""
    return not about.family.fitted or bool(model_preset(about.name, method).get("mask"))
