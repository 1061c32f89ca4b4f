"""How a method's soft map becomes pixels, where the methods differ: a few constants, not code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
