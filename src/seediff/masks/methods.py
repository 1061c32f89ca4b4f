"""Every way of making a soft mask from attention: one table. A method is a function of saved `AttentionMaps`: no model, no image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..config.methods import Method, check_capture
from .baselines import cross_attention, cross_times_self
from .reference import reference
from .seediff import seediff
from .steps import SoftMask


@dataclass(frozen=True)
class Finish:
    """From a soft map to pixels. The defaults are SeeDiff's steps 5 and 6; None: as `MaskConfig` says."""

    resize: Literal["bilinear", "bicubic"] = "bilinear"
    stretch: bool = False
    """Min-max once more at the image's size."""
    cut: float | None = None
    """PAMR refines the map cut at more than this (zeros and ones), not the soft map."""
    bandwidth: float = 0.1
    """PAMR's, in standard deviations of the image."""
    iterations: int | None = None
    dilations: tuple[int, ...] | None = None
    threshold: float | None = None


class MaskMethod(NamedTuple):
    """soft: the soft mask of one class by its name. finish: how soft masks become pixels."""

    soft: Callable[[AttentionMaps, str, MaskConfig], SoftMask]
    finish: Finish = Finish()


METHODS: dict[Method, MaskMethod] = {
    "seediff": MaskMethod(seediff),
    "ca": MaskMethod(cross_attention, Finish(stretch=True)),
    "ca_sa": MaskMethod(cross_times_self),
    # PAMR's iterations are described as "many"; 50 is this project's choice.
    "reference": MaskMethod(reference, Finish(resize="bicubic", cut=0.5, bandwidth=0.2, iterations=50, dilations=(1,), threshold=0.8)),
}


def soft_mask(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of one class by `config.method`. The maps are not modified.

    Raises UserError when the class is not in the prompt, a level that the method needs was not captured, or it needs plain means and
    the maps were divided by their maxima.
    """
    check_capture(config.method, maps.normalized)
    return METHODS[config.method].soft(maps, class_name, config)
