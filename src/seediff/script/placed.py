"""Masks and segments of what was drawn, placed in the returned picture, of which it may be only a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.windows import Window, paste
from ..config.method_constants import MaskConfig, SegmentConfig
from ..masks.clips import clip_softs
from ..masks.flags import BLANK
from ..masks.make_masks import MaskResult, finish_masks, soft_masks
from .what_size import Placement

if TYPE_CHECKING:
    from ..segments.make_segments import Segments


@dataclass(frozen=True)
class Canvas:
    """A picture in which results are placed."""

    place: Placement
    """Where the drawn picture lies in it."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8; None: unknown."""

    @property
    def drawn_part(self) -> np.ndarray | None:
        """The pixels that were drawn."""
        return None if self.pixels is None else self.pixels[self.place.window.slices]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flag of a black picture, or none."""
        return (BLANK,) if self.pixels is not None and not self.pixels.any() else ()


def masks_of_frames(
    maps: Sequence[AttentionMaps],
    words: Mapping[str, tuple[int, ...]],
    names: Sequence[str],
    config: MaskConfig,
    canvases: Sequence[Canvas],
    wanted: Sequence[int],
) -> list[MaskResult]:
    """The masks of words in the `wanted` frames of a clip; a picture is a clip of one frame.

    maps: each frame's maps, which the frames of a latent frame share. words: word → its columns. names: the words in
    the order of the masks. canvases: each frame.
    """
    place = canvases[0].place
    latents = {id(one): replace(one, words=words) for one in maps}
    softs = {key: soft_masks(one, names, config) for key, one in latents.items()}
    small = [torch.stack([mask.soft for mask in each]) for each in softs.values()]
    parts = [canvas.drawn_part for canvas in canvases]
    large = clip_softs(parts, small, config, place.drawn, place.scaled, place.view)
    masks: list[MaskResult] = []
    for i in wanted:
        mask = finish_masks(parts[i], names, softs[id(maps[i])], large[i], config)
        masks.append(_place(mask, canvases[i]))
    return masks


def _place(mask: MaskResult, canvas: Canvas) -> MaskResult:
    """Masks of the drawn picture, placed in a canvas."""
    place, flags = canvas.place, (*mask.flags, *canvas.flags)
    soft = torch.from_numpy(paste(mask.soft.numpy(), place.window, place.size, outside=0))
    label_map = paste(mask.label_map, place.window, place.size, outside=0)
    return replace(mask, label_map=label_map, soft=soft, flags=flags, pixels=canvas.pixels)


def place_segments(proposals: torch.Tensor, config: SegmentConfig, canvas: Canvas) -> Segments:
    """Segments of the drawn picture, from its proposals (P, h, w), placed in a canvas."""
    from ..segments.make_segments import label_photo  # imports scipy

    place = canvas.place
    scaled = np.zeros((*place.scaled, 3), np.uint8)
    if canvas.drawn_part is not None:
        scaled[place.view.slices] = canvas.drawn_part
    found = label_photo(scaled, Window(0, 0, *place.scaled), proposals, config)
    label_map = paste(found.label_map[place.view.slices], place.window, place.size)
    return replace(found, label_map=label_map, pixels=canvas.pixels, flags=canvas.flags)
