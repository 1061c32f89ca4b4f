"""Draws masks and attention: pictures with masks over them, cut out of them, with names, and beside each other. Arrays
are images (H, W, 3) uint8, label maps (H, W) uint8 with 0 for the background and 255 for ignored pixels, and soft maps
(H, W) in [0, 1]."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ..files.label_maps import IGNORE
from .colours import css_colour, heat_colours, mask_colours, to_levels

LABEL_HEIGHT = 18  # pixels, of a line of text beneath a tile
LEAST_SIDE = 256
"""Results with a shorter longer side, in pixels, are drawn enlarged to it."""


def cut_out(image: np.ndarray, label_map: np.ndarray, class_id: int, soft: np.ndarray | None = None) -> Image.Image:
    """The picture of a class on a transparent ground (RGBA): opaque where the label map has the class, clear elsewhere.
    Pixels at the mask's edge are partly opaque: half of their opacity is their own, and half is the mean of the 3 × 3
    pixels around them, so that opacities above 1/2 are exactly the mask's.

    soft: (H, W), the class's soft mask; pixels are then as opaque as it is high, and pixels of other classes are clear.
    """
    if soft is None:
        mask = Image.fromarray(to_levels(label_map == class_id))
        alpha = (np.asarray(mask) / 510) + (np.asarray(mask.filter(ImageFilter.BoxBlur(1))) / 510)
    else:
        others = ~np.isin(label_map, (0, class_id, IGNORE))
        alpha = np.where(others, 0, soft / max(float(soft.max()), 1e-6))
    return Image.fromarray(np.dstack([image, to_levels(alpha)]))


def fit_side(array: np.ndarray, side: int, resample: Image.Resampling) -> np.ndarray:
    """The picture, resized in proportion, with a longer side of `side` pixels. array: (H, W) or (H, W, 3) uint8."""
    height, width = array.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return array
    return np.asarray(Image.fromarray(array).resize(size, resample))


def shrink(array: np.ndarray, side: int, resample: Image.Resampling) -> np.ndarray:
    """As `fit_side`, but a picture is never enlarged."""
    return fit_side(array, min(side, max(array.shape[:2])), resample)


def magnify(array: np.ndarray, resample: Image.Resampling) -> np.ndarray:
    """As `fit_side`, with a longer side of at least LEAST_SIDE pixels. A picture is never shrunk."""
    return fit_side(array, max(LEAST_SIDE, *array.shape[:2]), resample)


def overlay(
    image: np.ndarray | None,
    label_map: np.ndarray,
    regions: np.ndarray | None = None,
    *,
    alpha: float = 0.28,
    dim: float = 0.0,
) -> np.ndarray:
    """(H, W, 3) uint8: the image with its labels over it. From the inside of a labelled region to the outside:

        inside        a light fill in the label's colour
        line          the region's edge in this colour
        white, black  two lines outside the edge, of which one is seen on any colour; where regions touch, in the
                      region of the lower number
        background    unchanged, or darker

    image: None: the labels are opaque, on black. regions: (H, W) whole numbers that separate regions of one label, such
    as objects' numbers; None: the label map. alpha: how much of the fill's colour shows, in [0, 1]. dim: how much
    darker the background becomes, in [0, 1], so that even an object of the fill's own colour stands out.
    """
    if image is None:
        image = np.zeros((*label_map.shape, 3), np.uint8)
        alpha = 1.0
    wide = max(2, round(min(label_map.shape) / 200))
    rim = wide // 2
    inside = label_map > 0
    numbers = np.where(inside, 1 + (label_map if regions is None else regions).astype(np.int32), 0)
    white, black = (_highest(numbers, reach) > numbers for reach in (rim, 2 * rim))
    white &= _highest(black & ~white, rim) | (image.mean(2) < 128)  # in a narrow gap, only one of the two has room
    line = (_highest(-numbers, wide) > -numbers) & ~black
    opacity = np.select([line | black, inside], [1.0, alpha], dim)
    shown = np.where(black, 0, label_map)  # black in the background, too
    colours = np.where(white[..., None], np.uint8(255), mask_colours()[shown])
    drawn = np.empty_like(image)
    for channel in range(3):  # all at once would take three times the memory
        mixed = image[..., channel] * (1 - opacity) + colours[..., channel] * opacity
        drawn[..., channel] = mixed.round()
    return drawn


def draw_mask(
    image: np.ndarray, label_map: np.ndarray, side: int, regions: np.ndarray | None = None, *, dim: float = 0.0
) -> np.ndarray:
    """As `overlay`, but with a longer side of at most `side` pixels."""
    labels = shrink(label_map, side, Image.Resampling.NEAREST)
    if regions is not None:
        regions = shrink(regions.astype(np.int32), side, Image.Resampling.NEAREST)
    return overlay(shrink(image, side, Image.Resampling.LANCZOS), labels, regions, dim=dim)


def draw_named(
    image: np.ndarray | None, label_map: np.ndarray, names: Mapping[int, str], regions: np.ndarray | None = None
) -> np.ndarray:
    """(H, W, 3) uint8: as `overlay`, with the name of each region written once, in a frame of its colour. A name that
    would cover another is left out. A name that the font cannot write, such as Chinese, is replaced by its number.

    image, regions: as in `overlay`. names: number of a region → name.
    """
    drawn = overlay(image, label_map, regions)
    if regions is None:
        regions = label_map
    sheet = Image.fromarray(drawn)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(8, min(regions.shape) // 24))
    # Places for names are searched among few pixels: all pixels of a large picture would take seconds for each name.
    cell = max(1, max(regions.shape) // 512)  # one pixel of each cell × cell pixels
    lattice = regions[::cell, ::cell]
    free = np.ones(lattice.shape, bool)  # where no name is yet
    for number, name in names.items():
        text = fit_text(draw, font, name, regions.shape[1])
        if "?" in text and not text.strip("?… "):  # the font cannot write any letter of it
            text = str(number)
        here = (lattice == number) & free
        if not text or not here.any():
            continue
        left, top, right, bottom = draw.textbbox((0, 0), text, font, anchor="mm", stroke_width=3)  # around (0, 0)
        y, x = cell * _deepest(here, (bottom - top, right - left))  # the middle of the name, in pixels
        # The name's rectangle, in cells.
        rows = slice(max(0, int(y + top) // cell), int(y + bottom) // cell + 1)
        columns = slice(max(0, int(x + left) // cell), int(x + right) // cell + 1)
        if free[rows, columns].all():
            free[rows, columns] = False
            label = int(label_map[regions == number][0])
            draw.rectangle((x + left, y + top, x + right - 1, y + bottom - 1), "black", css_colour(label))
            draw.text((x, y), text, "white", font, anchor="mm")
    return np.asarray(sheet)


def _deepest(free: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """(row, column) of the place for a name: far from the region's border. free: (H, W) bool, the region. size:
    (height, width) of the name. Distances are measured in heights and widths of the name, because a wide name needs
    more room at its left and right. Among the places nearly as far from the border as the farthest, it is the one
    nearest to their middle."""
    from scipy.ndimage import distance_transform_edt  # takes half a second to import

    padded: Any = distance_transform_edt(np.pad(free, 1), sampling=(1 / size[0], 1 / size[1]))
    depth = padded[1:-1, 1:-1]
    places = np.argwhere(depth >= 0.9 * depth.max())
    return places[((places - places.mean(0)) ** 2).sum(1).argmin()]


def _highest(numbers: np.ndarray, reach: int) -> np.ndarray:
    """(H, W): the highest number, or any true one, within `reach` pixels above, below, left or right of each pixel."""
    highest = numbers.copy()
    for found, values in ((highest, numbers), (highest.T, numbers.T)):  # `highest.T` is a view: both write to `highest`
        for step in range(1, reach + 1):
            np.maximum(found[step:], values[:-step], out=found[step:])
            np.maximum(found[:-step], values[step:], out=found[:-step])
    return highest


def contact_sheet(
    tiles: Sequence[np.ndarray], columns: int, labels: Sequence[str] | None = None, *, gap: int = 6
) -> np.ndarray:
    """(H, W, 3) uint8: pictures in rows of `columns`, each with its label beneath. tiles: (h, w, 3) uint8 each; smaller
    ones are centred. labels: one per tile; None: no labels. gap: pixels between tiles."""
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    cell_h, cell_w = max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles)
    step_h, step_w = cell_h + gap + (LABEL_HEIGHT if labels else 0), cell_w + gap
    sheet = Image.new("RGB", (columns * step_w + gap, rows * step_h + gap), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, tile in enumerate(tiles):
        top, left = gap + number // columns * step_h, gap + number % columns * step_w
        height, width = tile.shape[:2]
        sheet.paste(Image.fromarray(tile), (left + (cell_w - width) // 2, top + (cell_h - height) // 2))
        if labels:
            text = fit_text(draw, font, labels[number], cell_w)
            draw.text((left + cell_w / 2, top + cell_h + LABEL_HEIGHT / 2), text, "black", font, anchor="mm")
    return np.asarray(sheet)


_HAS = frozenset("".join(map(chr, range(32, 127))) + "…·°±")
"""The letters that Pillow's own font has. This font is used because it is the same on every machine."""
_SPELLED = str.maketrans({"ß": "ss", "–": "-", "×": "x"})


def fit_text(draw: ImageDraw.ImageDraw, font: Any, text: str, width: float) -> str:
    """The text, or as much of its beginning as fits into `width` pixels, with an ellipsis. Letters that the font lacks
    lose their accents, or become question marks."""
    plain = unicodedata.normalize("NFKD", " ".join(text.translate(_SPELLED).split()))
    text = "".join(letter if letter in _HAS else "?" for letter in plain if not unicodedata.combining(letter))
    fitting = text
    while text and draw.textlength(fitting, font) > width:
        text = text[:-1]
        fitting = text.rstrip() + "…"
    return fitting


def with_scale(picture: np.ndarray) -> np.ndarray:
    """(H + 18, W, 3) uint8: a picture with a scale of `heat_colours` from 0 to 1 beneath it. picture: (H, W, 3) uint8,
    drawn in these colours."""
    wide = picture.shape[1]
    scale = Image.new("RGB", (wide, LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(scale)
    font = ImageFont.load_default(12)
    side = min(14, wide // 4)
    bar = heat_colours()[np.linspace(0, 255, max(1, wide - 2 * side)).round().astype(np.uint8)]
    scale.paste(Image.fromarray(np.tile(bar, (LABEL_HEIGHT - 8, 1, 1))), (side, 4))
    for x, text in ((side / 2, "0"), (wide - side / 2, "1")):
        draw.text((x, LABEL_HEIGHT / 2), text, "black", font, anchor="mm")
    return np.vstack([picture, np.asarray(scale)])


def with_legend(picture: np.ndarray, legend: Sequence[tuple[str, str]]) -> np.ndarray:
    """(H, W, 3) uint8: a picture with a legend at its right, in the legend's order. legend: (colour as CSS, text)."""
    height, width = picture.shape[:2]
    line = max(LABEL_HEIGHT, height // 20)
    font = ImageFont.load_default(line * 2 / 3)
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    texts = [fit_text(measure, font, text, width) for _, text in legend]
    column = int(max((measure.textlength(text, font) for text in texts), default=0)) + 2 * line
    sheet = Image.new("RGB", (width + column, max(height, line * len(texts))), "white")
    sheet.paste(Image.fromarray(picture))
    draw = ImageDraw.Draw(sheet)
    for number, ((colour, _), text) in enumerate(zip(legend, texts, strict=True)):
        left, top = width + line // 4, number * line + line // 4
        draw.rectangle((left, top, left + line // 2, top + line // 2), colour)
        draw.text((left + line, top + line // 4), text, "black", font, anchor="lm")
    return np.asarray(sheet)
