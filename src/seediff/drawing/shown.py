"""Makes the HTML that a notebook shows of a result: pictures and a legend."""

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
    """HTML with a title, two pictures side by side, and a legend. pixels: the picture that the result is about, (H, W,
    3) uint8; None: unknown, and not shown. result: the picture of the result. legend: for each entry (colour as CSS,
    text)."""
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
