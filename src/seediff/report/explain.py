"""Shows the steps of making a mask: each step as a small map (`show_steps`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..drawing.overlays import shrink, to_levels

if TYPE_CHECKING:
    import torch

    from ..masks.make_masks import MaskResult
    from ..masks.steps import MaskStep

SHOWN_SIDE = 256
"""The longest side, in pixels, of a map that is shown."""


@dataclass(frozen=True)
class ShownStep:
    """A step of making one class's mask."""

    step: MaskStep
    pixels: np.ndarray
    """(h, w) uint8: the map after this step; 255 stands for 1."""

    @property
    def name(self) -> str:
        """The step's name for people."""
        return str(self.step).replace("_", "-")


def show_steps(result: MaskResult, class_name: str) -> list[ShownStep]:
    """Every step of a class's mask, in order. result: the masks of an image, with their trace. class_name: the
    class."""
    return [ShownStep(step, _pixels(values)) for step, values in result.trace[class_name].items()]


def _pixels(values: torch.Tensor) -> np.ndarray:
    return shrink(to_levels(values.cpu().numpy()), SHOWN_SIDE, Image.Resampling.BOX)
