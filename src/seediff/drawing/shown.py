"""What notebooks show of results."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..files.label_maps import IGNORE
from .overlays import css_colour, jpeg_uri, shrink

SIDE = 512
"""The longest side of a shown picture in pixels; larger pictures are shrunk."""


def as_html(title: str, pixels: np.ndarray | None, result: Image.Image, legend: Sequence[tuple[str, str]] = ()) -> str:
    """HTML of a title, the picture (H, W, 3) uint8 if it is known, a result beside it, and a legend. legend: for each
    entry, (background in CSS, text)."""
    name, images, entries = html.escape(title), "", ""
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
    """Id in label maps of these classes → name, without the background."""
    return {**dict(enumerate(classes, 1)), IGNORE: "ignored"}


def label_legend(label_map: np.ndarray, classes: Sequence[str]) -> list[tuple[str, str]]:
    """For each class, and for ignored pixels if there are some: (colour, name and share of the picture)."""
    shares = np.bincount(label_map.ravel(), minlength=IGNORE + 1) / label_map.size
    names = shown_names(classes)
    if not shares[IGNORE]:
        del names[IGNORE]
    return [(css_colour(label), f"{name} {shares[label]:.0%}") for label, name in names.items()]
