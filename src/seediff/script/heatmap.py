"""`HeatMap`: how much each place of a picture attends to a word, as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..attention.maps import AttentionMaps
from ..config.methods import MaskConfig
from ..drawing.colours import heat_colours, to_levels
from ..drawing.overlays import contact_sheet, fit_side, magnify, with_scale
from ..drawing.shown import as_html
from ..errors import UserError
from ..files.image_files import ImageInput
from ..masks.make_masks import enlarge, soft_masks
from .pictures import Drawn
from .which_columns import Phrase
from .word_masks import soft_words

SIDE = 320
"""The longer side of each picture in a sheet, in pixels."""
HEAT_LEVELS = (4, 2, 1)
"""The levels of attention that a heat map averages: L/4, L/2 and L, as in method ca. L is the size of the lattice that
the network works on. For a model without any of these levels, a heat map averages all levels."""


@dataclass(frozen=True, repr=False)
class HeatMap:
    """A heat map of one word. Notebooks show it over its picture."""

    values: np.ndarray
    """(H, W) float32 in [0, 1]; `np.asarray(heat_map)` returns them, too."""
    phrase: str
    """The word, or a text such as "columns 5, 6"."""
    pixels: np.ndarray | None = None
    """The picture (H, W, 3) uint8; None if it is not known."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def image(self) -> Image.Image:
        """The heat map in the colours of viridis, dark for low values."""
        return Image.fromarray(heat_colours()[to_levels(self.values)])

    def over(self, pixels: Any = None, alpha: float = 0.6, *, scale: bool = False) -> Image.Image:
        """The heat map laid over a picture, which is enlarged if it is small.

        pixels: a Pillow picture or (H, W, 3) uint8 of any size; None: the drawn picture. alpha: the heat map's opacity
        in [0, 1]. scale: whether to add the scale of colours beneath. Raises UserError if there is no picture.
        """
        if pixels is None:
            pixels = self.pixels
        if pixels is None:
            fix = "give it, heatmap('dog', pixels=image), or over(image)"
            raise UserError("no image to overlay the heat map on: the pipeline gave none", fix=fix)
        given = (pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))).convert("RGB")
        below = Image.fromarray(magnify(np.asarray(given), Image.Resampling.LANCZOS))
        drawn = Image.blend(below, self.image().resize(below.size, Image.Resampling.BILINEAR), alpha)
        return Image.fromarray(with_scale(np.asarray(drawn))) if scale else drawn

    def save(self, path: Path | str) -> None:
        """Write `image()` to a file, with the scale of colours beneath. (`over(scale=True).save(path)` writes the heat
        map laid over the picture.) path: the file."""
        Image.fromarray(with_scale(np.asarray(self.image()))).save(path)

    def __repr__(self) -> str:
        return f"<HeatMap of {self.phrase!r}, {self.shape}>"

    def _repr_html_(self) -> str:
        colours = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in heat_colours()[::51])
        legend = [(f"linear-gradient(to right, {colours})", "least to most attention")]
        return as_html(self.phrase, self.pixels, self.best(), legend)

    def best(self) -> Image.Image:
        """The heat map over the picture, or alone if the picture is not known."""
        if self.pixels is None:
            return self.image()
        return self.over()


def heat_sheet(maps: Sequence[HeatMap]) -> Image.Image:
    """A sheet of tiles: the picture, if it is known, then each heat map over the picture, with its word beneath. The
    scale of colours is below all tiles. maps: heat maps of one picture."""
    tiles = [np.asarray(heat.best()) for heat in maps]
    labels = [heat.phrase for heat in maps]
    if maps[0].pixels is not None:
        tiles, labels = [maps[0].pixels, *tiles], ["image", *labels]
    sheet = contact_sheet([fit_side(tile, SIDE, Image.Resampling.LANCZOS) for tile in tiles], 4, labels)
    return Image.fromarray(with_scale(sheet))


def find_heatmaps(drawn: Drawn, phrases: Sequence[Phrase], pixels: ImageInput | None) -> list[HeatMap]:
    """The heat map of each phrase in a picture, or in a frame of a clip. pixels: as for `Captured.heatmap`."""
    softs = soft_words(drawn, phrases, heat_config(drawn.maps_with(phrases)), pixels)
    heats = zip(softs.names, softs.large, strict=True)
    return [HeatMap(heat.numpy(), name, softs.view.pixels) for name, heat in heats]


def find_heatmaps_apart(drawn: Drawn, phrase: Phrase, pixels: ImageInput | None) -> dict[str, HeatMap]:
    """Step or layer → the heat map of a phrase in it. pixels: as for `Captured.heatmap`."""
    words = drawn.maps_with([phrase]).words
    (name,) = words
    view = drawn.view(pixels)
    heats: dict[str, HeatMap] = {}
    for step_or_layer, maps in drawn.maps_apart().items():
        if maps.cross_attention:
            config = heat_config(maps)
            (heat,) = enlarge(soft_masks(replace(maps, words=words), [name], config), view, config)
            heats[step_or_layer] = HeatMap(heat.numpy(), f"{name}: {step_or_layer}", view.pixels)
    return heats


def heat_config(maps: AttentionMaps) -> MaskConfig:
    """The constants of heat maps: they average the levels in HEAT_LEVELS that the maps have, or else all levels, are
    stretched to [0, 1] at the picture's size, and have no PAMR."""
    own = maps.levels("cross")
    levels = tuple(level for level in own if level in HEAT_LEVELS) or own
    return MaskConfig(method="ca", expand_levels=levels, pamr=False)
