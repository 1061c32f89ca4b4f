"""Where the drawn picture lies in the returned one, and results that are put there: masks and segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..attention.maps import AttentionMaps, Grid
from ..attention.windows import Window
from ..config.methods import MaskConfig, SegmentConfig
from ..errors import UserError
from ..masks.clips import clip_softs
from ..masks.make_masks import MaskResult, enlarge, finish_masks, soft_masks
from ..masks.steps import SoftMask
from ..rows.values import BLANK

if TYPE_CHECKING:
    from ..segments.make_segments import Segments

PixelSize = tuple[int, int]
"""(H, W) in pixels."""


@dataclass(frozen=True)
class Canvas:
    """The picture in which a script wants results, and where the drawn picture lies in it:

        the drawn picture ── resized to `scaled` ── cut to `view` ──▶ a picture of `size`

    For example, with sizes as height × width: the pipeline drew 64 × 64 pixels for a picture of 96 × 80, resized them
    to 96 × 96, and cut off 8 columns at either side.
    """

    size: PixelSize
    """The size of the picture: (96, 80)."""
    map_size: PixelSize
    """The size to which maps are resized before they are resized to `scaled`, as the pixels were: (64, 64)."""
    scaled: PixelSize
    """The size of the drawn picture after the pipeline resized it: (96, 96)."""
    view: Window
    """The part of the resized picture that is left after the cut: Window(0, 8, 96, 80)."""
    pixels: np.ndarray | None = None
    """The picture, (H, W, 3) uint8; None if it is unknown."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The flag BLANK for a black picture, as a safety checker leaves it; otherwise empty."""
        return (BLANK,) if self.pixels is not None and not self.pixels.any() else ()


def fill(lattice: Grid, drawn: PixelSize, size: PixelSize, *, may_cut: bool) -> Canvas:
    """The canvas that a drawn picture fills. Raises UserError for other proportions, unless they may be cut.

    lattice: (height, width) of the drawn picture in positions. drawn: in pixels. size: of the canvas. may_cut: whether
    both ends of the longer side may be cut off, up to a fifth, as pipelines with `use_resolution_binning` do.
    """
    if abs(size[0] * lattice[1] - size[1] * lattice[0]) <= sum(lattice):  # rounding to whole pixels
        drawn = size
    factor = max(size[0] / drawn[0], size[1] / drawn[1])
    scaled = max(int(drawn[0] * factor), size[0]), max(int(drawn[1] * factor), size[1])
    most = 1.25 if may_cut else 1.0
    if scaled[0] > most * size[0] or scaled[1] > most * size[1]:
        raise UserError("pixels", f"{size[1]} × {size[0]}: the image has other proportions")
    view = Window((scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2, *size)
    return Canvas(size, drawn, scaled, view)


def masks_of_picture(maps: AttentionMaps, names: Sequence[str], config: MaskConfig, canvas: Canvas) -> MaskResult:
    """The masks of words in a picture. maps: with the words' columns. names: the words in the order of the masks."""
    softs = soft_masks(maps, names, config)
    small = torch.stack([mask.soft for mask in softs])
    large = enlarge(small, canvas.map_size, config, canvas.scaled, canvas.view)
    return _finish(names, softs, large, config, canvas)


def masks_of_clip(
    maps: Sequence[AttentionMaps],
    words: Mapping[str, tuple[int, ...]],
    names: Sequence[str],
    config: MaskConfig,
    canvases: Sequence[Canvas],
    wanted: Sequence[int],
) -> list[MaskResult]:
    """The masks of words in some frames of a clip, blended with the clip's other frames.

    maps: the maps of each frame. Frames of one latent frame share one object: the network works on fewer frames.
    words: word → its text columns. names: the words in the order of the masks. canvases: the picture of each frame.
    wanted: the numbers of the frames to make masks of, in the clip.
    """
    first, latents = canvases[0], {id(shared): replace(shared, words=words) for shared in maps}
    softs = {latent: soft_masks(each, names, config) for latent, each in latents.items()}
    small = [torch.stack([mask.soft for mask in masks]) for masks in softs.values()]
    large = clip_softs([canvas.pixels for canvas in canvases], small, config, first.map_size, first.scaled, first.view)
    return [_finish(names, softs[id(maps[i])], large[i], config, canvases[i]) for i in wanted]


def _finish(
    names: Sequence[str], softs: Sequence[SoftMask], large: torch.Tensor, config: MaskConfig, canvas: Canvas
) -> MaskResult:
    """The masks of a canvas's picture. large: the soft masks at the picture's size."""
    mask = finish_masks(canvas.pixels, names, softs, large, config)
    return replace(mask, flags=(*mask.flags, *canvas.flags), pixels=canvas.pixels)


def place_segments(proposals: torch.Tensor, config: SegmentConfig, canvas: Canvas) -> Segments:
    """The segments of a canvas. proposals: (P, h, w) maps of the drawn picture, one for each possible segment. config:
    the constants of segments."""
    from ..segments.make_segments import label_photo  # imports scipy

    scaled = np.zeros((*canvas.scaled, 3), np.uint8)
    if canvas.pixels is not None:
        scaled[canvas.view.slices] = canvas.pixels
    found = label_photo(scaled, Window(0, 0, *canvas.scaled), proposals, config)
    return replace(
        found, label_map=found.label_map[canvas.view.slices].copy(), pixels=canvas.pixels, flags=canvas.flags
    )
