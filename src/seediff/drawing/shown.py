"""Makes what a notebook or a page shows: of a result HTML with pictures and a legend, of a sample and a dataset a
picture; and pictures inside HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ..files.image_files import compress_image
from ..files.label_maps import IGNORE
from .colours import css_colour
from .overlays import LEAST_SIDE, fit_side, overlay, shrink, with_legend

SIDE = 512
"""The longest side of a shown picture in pixels; larger pictures are shrunk."""
THUMBNAIL = 160
"""The longer side, in pixels, of a picture in a sheet of many."""


def as_html(title: str, pixels: np.ndarray | None, result: Image.Image, legend: Sequence[tuple[str, str]] = ()) -> str:
    """HTML with a title, two pictures side by side, and a legend. pixels: the picture that the result is about, (H, W,
    3) uint8; None: unknown, and not shown. result: the picture of the result. legend: for each entry (colour as CSS,
    text)."""
    name = html.escape(title)
    images = ""
    entries = ""
    for one in (pixels, np.asarray(result)):
        if one is None:
            continue
        uri = jpeg_uri(shrink(one, SIDE, Image.Resampling.LANCZOS))
        images += f'<img src="{uri}" alt="{name}" height="256" style="margin: 4px">'
    swatch = "display: inline-block; width: 3em; height: 0.8em; margin: 0 0.4em 0 4px"
    for colour, text in legend:
        entries += f'<span style="{swatch}; background: {colour}"></span>{html.escape(text)} &ensp;'
    return f"<div><b>{name}</b></div><div>{images}</div><div>{entries}</div>"


def shown_names(classes: Sequence[str]) -> dict[int, str]:
    """Id in a label map → the name of its class, or "ignored". The background is left out."""
    return {**dict(enumerate(classes, 1)), IGNORE: "ignored"}


def label_legend(label_map: np.ndarray, classes: Sequence[str]) -> list[tuple[str, str]]:
    """The legend of a label map, for `as_html`: for each class its colour, name and share of the picture, such as
    ("#ff870f", "dog 12%"); also for ignored pixels, if any. label_map: (H, W) uint8."""
    shares = np.bincount(label_map.ravel(), minlength=IGNORE + 1) / label_map.size
    names = shown_names(classes)
    if not shares[IGNORE]:
        del names[IGNORE]
    return [(css_colour(label), f"{name} {shares[label]:.0%}") for label, name in names.items()]


def beside_mask(
    image: np.ndarray, label_map: np.ndarray, names: Mapping[int, str], regions: np.ndarray | None = None
) -> np.ndarray:
    """(h, w, 3) uint8: a picture, at its right the picture with its mask laid over it, and the names of the classes
    that the mask shows. The longer side is at least LEAST_SIDE and at most SIDE pixels.

    image: (H, W, 3) uint8. label_map: (H, W) uint8. names: id → name; an id without a name is shown as a number.
    regions: as in `overlay`.
    """
    side = min(SIDE, max(LEAST_SIDE, *label_map.shape))
    pixels = fit_side(image, side, Image.Resampling.LANCZOS)
    if regions is not None:
        regions = fit_side(regions.astype(np.int32), side, Image.Resampling.NEAREST)
    drawn = overlay(pixels, fit_side(label_map, side, Image.Resampling.NEAREST), regions)
    legend = [(css_colour(label), names.get(label, str(label))) for label in np.unique(label_map).tolist() if label]
    return with_legend(np.hstack([pixels, drawn]), legend)


def thumbnail(image: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: a picture with its mask laid over it, with a longer side of THUMBNAIL pixels. image: (H, W, 3)
    uint8. label_map: (H, W) uint8."""
    labels = fit_side(label_map, THUMBNAIL, Image.Resampling.NEAREST)
    return overlay(fit_side(image, THUMBNAIL, Image.Resampling.LANCZOS), labels)


def jpeg_uri(image: np.ndarray) -> str:
    """The data URI of a JPEG of a picture (H, W, 3) uint8. Colours are not subsampled, so that edges of masks stay
    sharp."""
    return data_uri(compress_image(image, "JPEG", quality=85, subsampling=0))


def data_uri(data: bytes) -> str:
    """The data URI of a JPEG file."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
