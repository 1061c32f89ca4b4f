"""What is made of a `Drawn`, a picture or a frame of a clip that a pipeline drew under capture:

find_heatmaps, find_heatmaps_apart    a `HeatMap` of each word: how much each place attends to it
heat_sheet                            a sheet of them
label_words                           masks of words, from soft_words or soft_words_of_frames, as heat maps are
explain_mixed                         which words hardly tell their masks apart
divide                                segments, without any words
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..config.methods import MaskConfig, SegmentConfig
from ..config.names_in_texts import things_named
from ..config.settings import check_table
from ..drawing.colours import heat_colours, to_levels
from ..drawing.overlays import contact_sheet, fit_side, magnify, with_scale
from ..drawing.shown import as_html
from ..errors import Notice, UserError
from ..files.image_files import ImageInput, on_white
from ..masks.clips import clip_softs
from ..masks.make_masks import enlarge, mixed, refine_and_label, soft_masks
from ..masks.results import MaskResult
from ..masks.steps import SoftMask
from ..rows.values import BLANK, explain_flag
from ..view import View
from .pictures import Drawn
from .which_columns import Phrase, phrase_name

if TYPE_CHECKING:
    from ..segments.make_segments import Segments

SIDE = 320
"""The longer side of each picture in a sheet, in pixels."""
HEAT_LEVELS = (4, 2, 1)
"""The levels of attention that a heat map averages: L/4, L/2 and L, as in method ca. L is the size of the lattice that
the network works on. For a model without any of these levels, a heat map averages all levels."""


@dataclass(frozen=True, repr=False, eq=False)
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

        pixels: a Pillow picture, laid on white where it is transparent, or (H, W, 3) uint8, of any size; None: the
        drawn picture. alpha: the heat map's opacity
        in [0, 1]. scale: whether to add the scale of colours beneath. Raises UserError if there is no picture.
        """
        if pixels is None:
            pixels = self.pixels
        if pixels is None:
            fix = "give it, heatmap('dog', pixels=image), or over(image)"
            raise UserError("no image to overlay the heat map on: the pipeline gave none", fix=fix)
        given = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
        below = Image.fromarray(magnify(np.asarray(on_white(given)), Image.Resampling.LANCZOS))
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


class SoftWords(NamedTuple):
    """The soft masks of phrases in a picture, or in a frame of a clip."""

    names: Sequence[str]
    """The phrases as texts."""
    view: View
    """How the picture was drawn."""
    small: Sequence[SoftMask]
    """The soft mask of each phrase, as large as its map."""
    large: torch.Tensor
    """(C, H, W): the same after `enlarge`."""


def soft_words(
    drawn: Drawn, phrases: Sequence[Phrase], config: MaskConfig, pixels: ImageInput | None = None
) -> SoftWords:
    """The soft masks of phrases in a picture, or in a frame of a clip. config: the constants of the mask method.
    pixels: as for `Captured.masks`. Raises UserError for a phrase without columns, and if masks follow the edges of a
    picture that is not known."""
    if len(drawn.frames) > 1:
        if pixels is not None:
            raise UserError("pixels", "those of a clip are what the pipeline returned", "leave it out")
        return soft_words_of_frames(drawn, phrases, config)[drawn.number]
    names = list(map(phrase_name, phrases))
    maps = drawn.maps_with(phrases)
    view = _view_with_edges(drawn, config, pixels)
    small = soft_masks(maps, names, config)
    return SoftWords(names, view, small, enlarge(small, view, config))


def soft_words_of_frames(drawn: Drawn, phrases: Sequence[Phrase], config: MaskConfig) -> list[SoftWords]:
    """The soft masks of phrases in each frame of a clip. All frames have one prompt and one size: the words' columns
    are the first frame's."""
    names = list(map(phrase_name, phrases))
    frames = [replace(drawn, number=number) for number in range(len(drawn.frames))]
    words = frames[0].maps_with(phrases).words
    views = [_view_with_edges(frame, config) for frame in frames]
    softs = clip_softs(views, [frame.attention.maps for frame in frames], words, names, config)
    return [SoftWords(names, view, *of_frame) for view, of_frame in zip(views, softs, strict=True)]


def _view_with_edges(drawn: Drawn, config: MaskConfig, pixels: ImageInput | None = None) -> View:
    """The view of a picture. Raises UserError if masks follow its edges, and it is not known."""
    view = drawn.view(pixels)
    if view.pixels is None and (config.pamr or config.sam is not None):
        fix = "give it, or pamr=False without sam"
        raise UserError("pixels", "masks follow its edges, but the pipeline gave none", fix)
    return view


def label_words(softs: SoftWords, config: MaskConfig) -> MaskResult:
    """The masks of phrases in a picture, from their soft masks. config: the constants with which these were made."""
    masks = refine_and_label(softs.view, softs.names, softs.small, softs.large, config)
    return replace(masks, flags=(*masks.flags, *blank_flag(softs.view)))


def blank_flag(view: View) -> tuple[str, ...]:
    """The flag BLANK for a black picture, as a safety checker leaves it; otherwise empty."""
    return (BLANK,) if view.pixels is not None and not view.pixels.any() else ()


def explain_mixed(drawn: Drawn, softs: SoftWords, config: MaskConfig) -> str:
    """What a notice says of phrases that hardly tell their masks apart. "" if all of them do, and if some of the
    phrases follow each other in the prompt, such as "red sofa". softs, config: as for `label_words`."""
    names = [softs.names[number] for number in mixed(softs.small, config)]
    if names and len(things_named(drawn.attention.text.prompt, softs.names)) == len(softs.names):
        return f"{', '.join(names)}: {explain_flag('mixed')}"
    return ""


def segment_constants(constants: Mapping[str, Any]) -> SegmentConfig:
    """The constants of segments that a script names, fields of SegmentConfig. Raises UserError for those that cannot be
    used with what was captured."""
    config = SegmentConfig(**check_table(SegmentConfig, constants, "segments"))
    if "timestep" in constants:
        raise UserError("timestep", "what was captured is of all steps", "leave it out")
    if config.divides_features:
        problem = f"{config.method}: cuts features, but what was captured is attention"
        raise UserError("method", problem, "use diffseg or kmeans")
    return config


def divide(drawn: Drawn, config: SegmentConfig, pixels: ImageInput | None, seed: int) -> Segments:
    """The segments of a picture. pixels, seed: as for `Captured.segments`. Raises UserError for a picture without maps
    of self-attention, for one whose levels do not fit onto each other, and if the segments follow the edges of a
    picture that is not known."""
    from ..segments.make_segments import label_view, propose  # imports scipy

    k = config.known_k()
    maps = drawn.attention.maps
    height, width = drawn.scale.size(maps.lattice)
    multiple = drawn.scale.multiple
    if height % multiple or width % multiple:
        problem = f"{width} × {height}: self-attention of its levels cannot be laid over each other"
        raise UserError("image", problem, f"draw one whose sides are multiples of {multiple}")
    view = drawn.view(pixels)
    if view.pixels is None and config.edge_rounds:
        fix = "give it, or edge_rounds=0"
        raise UserError("pixels", "segments follow its edges, but the pipeline gave none", fix)
    found = replace(label_view(view, propose(maps, config, k, seed), config), flags=blank_flag(view))
    if len(found.scores) <= 1 and config.method == "diffseg":
        lower = f"lower kl_threshold (here {config.kl_threshold}), or use method='kmeans', k=5"
        warnings.warn(f"the image is one segment: {lower}", Notice, stacklevel=3)  # the script's line
    return found
