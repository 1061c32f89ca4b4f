"""Where the drawn picture lies in the returned picture, and results that are put there: masks and segments.

Most pipelines return the picture that they drew. Some draw only a part of the returned picture and paste it into the
rest (`padding_mask_crop`), or draw at another size, then resize the picture and cut off its edges
(`use_resolution_binning`). `Edits` says so (drawn.py), and computes a `Canvas` from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ..attention.maps import AttentionMaps, Grid
from ..attention.windows import Window, paste
from ..config.method_constants import MaskConfig, SegmentConfig
from ..errors import UserError
from ..masks.clips import clip_softs
from ..masks.make_masks import MaskResult, finish_masks, soft_masks
from ..rows.flags import BLANK

if TYPE_CHECKING:
    from ..segments.make_segments import Segments

PixelSize = tuple[int, int]
"""(H, W) in pixels."""
AREA = 1024 * 1024
"""FLUX.2's pipelines shrink a photograph of more pixels to this many."""


@dataclass(frozen=True)
class Canvas:
    """The picture in which a script wants results, and where the drawn picture lies in it:

        the drawn picture ── resized to `scaled` ── cut to `view` ── pasted into `window` ──▶ a picture of `size`

    Two examples, with sizes as height × width:

    1. The pipeline drew 64 × 64 pixels for a part of 32 × 24 pixels, at row 10 and column 20 of a picture of 100 × 100.
       It resized them to 32 × 32, cut off 4 columns at either side, and pasted the rest into the picture.
    2. It drew 64 × 64 pixels for a picture of 96 × 80, resized them to 96 × 96, and cut off 8 columns at either side.
    """

    size: PixelSize
    """The size of the picture: (100, 100) and (96, 80)."""
    map_size: PixelSize
    """The size to which maps are resized before they are resized to `scaled`, as the pixels were: the drawn picture's
    size (64, 64) in example 2. In example 1 it is `scaled`, because pasted pictures need one resizing only."""
    scaled: PixelSize
    """The size of the drawn picture after the pipeline resized it: (32, 32) and (96, 96)."""
    view: Window
    """The part of the resized picture that is left after the cut: Window(0, 4, 32, 24) and Window(0, 8, 96, 80)."""
    window: Window
    """The part of the picture that it fills: Window(10, 20, 32, 24) and Window(0, 0, 96, 80)."""
    pixels: np.ndarray | None = None
    """The picture, (H, W, 3) uint8; None if it is unknown."""

    @property
    def drawn_part(self) -> np.ndarray | None:
        """The pixels of the part that the pipeline drew, (H, W, 3) uint8; None if they are unknown."""
        return None if self.pixels is None else self.pixels[self.window.slices]

    @property
    def flags(self) -> tuple[str, ...]:
        """The flag BLANK for a black picture, as a safety checker leaves it; otherwise empty."""
        return (BLANK,) if self.pixels is not None and not self.pixels.any() else ()


@dataclass(frozen=True)
class Edits:
    """What a pipeline's call did to a picture after it drew it, as `Drawn` records it."""

    crop: tuple[int, int, int, int] | None = None
    """The edges (left, top, right, bottom) of the drawn part in the returned picture; None: the pipeline drew all of
    it."""
    is_resized: bool = False
    """Whether the pipeline resized the picture and cut off its edges."""

    def canvas(self, lattice: Grid, drawn: PixelSize, shown: PixelSize | None, returned: PixelSize | None) -> Canvas:
        """The canvas, without pixels: the shown picture, and where the drawn picture lies in it. The shown picture is
        the picture in which a script wants results.

        lattice: (height, width) of the drawn picture in positions: the places that the network attends to, for example
        8 × 8 pixels each. drawn: (H, W) of the drawn picture in pixels; in positions, if the pipeline does not say how
        many pixels a position has. shown: (H, W) of the shown picture; None: it is the drawn picture. returned: (H, W)
        of the picture that the pipeline returned; None: it returned no picture. Raises UserError if the place is
        unknown.
        """
        if shown is None:
            return _fill(drawn, drawn)

        # The pipeline edited what it drew
        if (self.is_resized or self.crop) and shown != returned:
            raise UserError("pixels", "the pipeline cut or pasted what it drew", "give the picture that it returned")
        if self.crop is not None:
            left, top, right, bottom = self.crop
            canvas = _fill(drawn, shown, Window(top, left, bottom - top, right - left))
            return replace(canvas, map_size=canvas.scaled)  # one resizing is enough, because maps are coarse
        if self.is_resized:
            return _fill(drawn, shown)

        # It did not: the shown picture is the drawn one, perhaps in another size
        if abs(shown[0] * lattice[1] - shown[1] * lattice[0]) > sum(lattice):  # rounding to whole pixels
            raise UserError("pixels", f"{shown[1]} × {shown[0]}: the picture has other proportions")
        return _fill(shown, shown)


def shown_canvas(read: PixelSize, photo: PixelSize, way: Literal["stretch", "crop"]) -> Canvas:
    """The canvas of a photograph, of which the network reads a picture of other sides.

    read: (H, W) of that picture. photo: (H, W). way: "stretch": it is the whole photograph. "crop": a photograph of
    more than AREA pixels was shrunk to them; then both ends of each side were cut off, to a multiple of a position.
    """
    if way == "stretch":
        return _fill(photo, photo)
    factor = max(1.0, math.sqrt(math.prod(photo) / AREA))
    (top, height), (left, width) = (
        _middle(side, int(side / factor), kept) for side, kept in zip(photo, read, strict=True)
    )
    return _fill(read, photo, Window(top, left, height, width))


def _middle(side: int, shrunk: int, kept: int) -> tuple[int, int]:
    """(begin, length) of the middle of a photograph's side, in its own pixels. side: the side's pixels. shrunk: its
    pixels after the photograph was shrunk. kept: how many of these are left."""
    before = (shrunk - kept) // 2
    begin, end = (round(edge * side / shrunk) for edge in (before, before + kept))
    return begin, end - begin


def _fill(drawn: PixelSize, size: PixelSize, window: Window | None = None) -> Canvas:
    """The canvas in which a drawn picture fills a window. If the drawn picture has other proportions, both ends of its
    longer side are cut off.

    drawn: (H, W) of the drawn picture. size: (H, W) of the canvas. window: the part to fill; by default all.
    """
    window = window or Window(0, 0, *size)
    factor = max(window.height / drawn[0], window.width / drawn[1])
    scaled = max(int(drawn[0] * factor), window.height), max(int(drawn[1] * factor), window.width)
    top, left = (scaled[0] - window.height) // 2, (scaled[1] - window.width) // 2
    return Canvas(size, drawn, scaled, Window(top, left, window.height, window.width), window)


def masks_of_frames(
    maps: Sequence[AttentionMaps],
    words: Mapping[str, tuple[int, ...]],
    names: Sequence[str],
    config: MaskConfig,
    canvases: Sequence[Canvas],
    wanted: Sequence[int],
) -> list[MaskResult]:
    """The masks of words in some frames of a clip. A picture is a clip of one frame.

    maps: the maps of each frame. Frames of one latent frame share one object: the network works on fewer frames.
    words: word → its text columns. names: the words in the order of the masks. canvases: the picture of each frame.
    wanted: the numbers of the frames to make masks of, in the clip.
    """
    first = canvases[0]
    latents = {id(shared): replace(shared, words=words) for shared in maps}
    softs = {latent: soft_masks(each, names, config) for latent, each in latents.items()}
    small = [torch.stack([mask.soft for mask in masks]) for masks in softs.values()]
    parts = [canvas.drawn_part for canvas in canvases]
    large = clip_softs(parts, small, config, first.map_size, first.scaled, first.view)
    return [_place(finish_masks(parts[i], names, softs[id(maps[i])], large[i], config), canvases[i]) for i in wanted]


def _place(mask: MaskResult, canvas: Canvas) -> MaskResult:
    """The masks of a canvas, from the masks of the part that the pipeline drew. All other pixels are background."""
    soft = torch.from_numpy(paste(mask.soft.numpy(), canvas.window, canvas.size, outside=0))
    label_map = paste(mask.label_map, canvas.window, canvas.size, outside=0)
    return replace(mask, label_map=label_map, soft=soft, flags=(*mask.flags, *canvas.flags), pixels=canvas.pixels)


def place_segments(proposals: torch.Tensor, config: SegmentConfig, canvas: Canvas) -> Segments:
    """The segments of a canvas. Pixels outside of the drawn part have the id −1. proposals: (P, h, w) maps of the drawn
    part, one for each possible segment. config: the constants of segments."""
    from ..segments.make_segments import label_photo  # imports scipy

    scaled = np.zeros((*canvas.scaled, 3), np.uint8)
    if canvas.drawn_part is not None:
        scaled[canvas.view.slices] = canvas.drawn_part
    found = label_photo(scaled, Window(0, 0, *canvas.scaled), proposals, config)
    label_map = paste(found.label_map[canvas.view.slices], canvas.window, canvas.size)
    return replace(found, label_map=label_map, pixels=canvas.pixels, flags=canvas.flags)
