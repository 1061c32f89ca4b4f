"""How results show themselves in notebooks."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..files.label_maps import IGNORE, voc_palette

SIDE = 512
"""Pixels of the longer side; larger pictures are shrunk."""


def as_html(title: str, pictures: Sequence[np.ndarray], legend: Sequence[tuple[str, str]]) -> str:
    """A title, pictures (H, W, 3) uint8 side by side, and a legend: (a background in CSS, its text) for each entry."""
    name, images, entries = html.escape(title), "", ""
    for picture in pictures:
        images += f'<img src="{_uri(picture)}" alt="{name}" height="256" style="margin: 4px">'
    swatch = "display: inline-block; width: 3em; height: 0.8em; margin: 0 0.4em 0 4px"
    for colour, text in legend:
        entries += f'<span style="{swatch}; background: {colour}"></span>{html.escape(text)} &ensp;'
    return f"<div><b>{name}</b></div><div>{images}</div><div>{entries}</div>"


def _uri(picture: np.ndarray) -> str:
    buffer, image = io.BytesIO(), Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def colour_labels(label_map: np.ndarray, picture: np.ndarray | None) -> np.ndarray:
    """A label map (H, W) in VOC's colours, laid over the picture if there is one: (H, W, 3) uint8."""
    colours = np.array(voc_palette(), np.uint8).reshape(256, 3)[label_map]
    if picture is None:
        return colours
    return np.where(label_map[..., None] > 0, picture // 3 + colours // 3 * 2, picture)


def label_legend(label_map: np.ndarray, classes: Sequence[str]) -> list[tuple[str, str]]:
    """(colour, class and its share of the picture), and the same of ignored pixels if there are some."""
    shares = np.bincount(label_map.ravel(), minlength=IGNORE + 1) / label_map.size
    names = dict(enumerate(classes, 1))
    if shares[IGNORE]:
        names[IGNORE] = "ignored"
    colours = {label: voc_palette()[3 * label : 3 * label + 3] for label in names}
    return [(f"rgb{tuple(colours[label])}", f"{name} {shares[label]:.0%}") for label, name in names.items()]
