"""Shows the steps of making a mask: each step as a small map (`show_steps`), or all steps side by side in one picture
(`draw_strip`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..drawing.overlays import compress_image, contact_sheet, draw_mask, heat_colours, shrink, to_levels

if TYPE_CHECKING:
    import torch

    from ..masks.make_masks import MaskResult
    from ..masks.steps import MaskStep

STRIP_SIDE = 120
"""The longer side, in pixels, of the pictures in a strip."""
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


def draw_strip(image: np.ndarray, label_map: np.ndarray, steps: Sequence[ShownStep]) -> bytes:
    """The bytes of a PNG with pictures side by side: the image, the map after each step of a class's mask, and the mask
    over the image. image: (H, W, 3) uint8. label_map: (H, W) uint8. steps: from `show_steps`."""
    small = shrink(image, STRIP_SIDE, Image.Resampling.LANCZOS)
    size = small.shape[1], small.shape[0]
    # A box filter shows each position as a square where it enlarges.
    maps = [np.asarray(Image.fromarray(step.pixels).resize(size, Image.Resampling.BOX)) for step in steps]
    tiles = [small, *(heat_colours()[pixels] for pixels in maps), draw_mask(image, label_map, STRIP_SIDE)]
    labels = ["image", *(step.name for step in steps), "mask"]
    return compress_image(contact_sheet(tiles, len(tiles), labels), "PNG", optimize=True)
