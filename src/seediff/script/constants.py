"""The constants of heat maps, and of masks of a pipeline's pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..attention.maps import AttentionMaps
from ..config.method_constants import MaskConfig
from ..config.photos_config import MaskPhotosConfig
from ..config.resolve import recommend
from ..models.describe import describe
from ..models.locate import locate

HEAT_LEVELS = (4, 2, 1)
"""The levels of attention that a heat map averages: L/4, L/2 and L, as in method ca. L is the size of the lattice that
the network works on. For a model without any of these levels, a heat map averages all levels."""


def heat_config(maps: AttentionMaps) -> MaskConfig:
    """The constants of heat maps: they average the levels in HEAT_LEVELS that the maps have, or else all levels, are
    stretched to [0, 1] at the picture's size, and have no PAMR."""
    own = maps.levels("cross")
    levels = tuple(level for level in own if level in HEAT_LEVELS) or own
    return MaskConfig(method="ca", expand_levels=levels, pamr=False)


def pipeline_constants(
    pipe: Any,
    method: str,
) -> tuple[MaskConfig, dict[str, Any]]:
    """(mask, capture) for a pipeline: a mask method's constants, and the fields of CaptureConfig with which they were
    tuned. If nothing was tuned for the pipeline's model, `mask` has the constants of the method's paper, and `capture`
    is empty.

    pipe: a diffusers pipeline.
    method: the mask method.
    Raises UserError.
    """
    paper = MaskConfig(method=method)
    folder = getattr(pipe, "name_or_path", None)  # None if the pipeline was built from its parts
    if folder and Path(folder, "seediff.json").exists():
        model = describe(locate(str(folder)))
        if model.settings.preset:
            values = {"classes": ("any",), "model": model.name, "method": method}
            tuned = recommend(MaskPhotosConfig, values, model)[0]
            return tuned.mask, {name: getattr(tuned.capture, name) for name in ("normalize", "layers", "mean")}
    return replace(paper, **paper.facts.defaults.get("mask", {})), {}
