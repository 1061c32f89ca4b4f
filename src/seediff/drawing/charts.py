"""Charts of scores, drawn with Pillow: lines over the epochs of a training, and bars of classes. Lengths are in pixels
of a drawing of twice the size, which is halved: that smooths it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .overlays import fit_text

WIDTH, HEIGHT = 1440, 600
"""Of a chart of lines."""
LEFT, RIGHT, TOP, BOTTOM = 112, 40, 88, 88
"""Around its lines."""
ROW = 44
"""A bar and its gap."""
NAMES, VALUES = 340, 120
"""For the names of bars, and for their values."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Okabe and Ito's, which colour-blind readers tell apart."""
INK, QUIET, GRID, PALE = "#1d1f21", "#5c6166", "#dcdcd8", "#a3a8ad"


class Bar(NamedTuple):
    """A share in [0, 1] and its interval. counted: whether it is in the mean."""

    name: str
    share: float
    interval: tuple[float, float]
    counted: bool


def _canvas(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, height), "white")
    draw = ImageDraw.Draw(image)
    draw.font = ImageFont.load_default(24)
    return image, draw


def line_chart(
    title: str,
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    x_label: str,
    *,
    right: float,
    borders: Sequence[float] = (),
) -> np.ndarray:
    """A picture (HEIGHT / 2, WIDTH / 2, 3) uint8. lines: name → x from 0 to `right`, and y from 0, with dots
    if they are few. borders: x of vertical lines."""
    image, draw = _canvas(HEIGHT)
    y_ticks = ticks(max(float(y.max()) for _, y in lines.values()) or 1.0)

    def at_x(x: float | np.ndarray) -> Any:
        return LEFT + x / right * (WIDTH - LEFT - RIGHT)

    def at_y(y: float | np.ndarray) -> Any:
        return HEIGHT - BOTTOM - y / y_ticks[-1] * (HEIGHT - TOP - BOTTOM)

    # 1. Axes
    for tick in y_ticks:
        draw.line((LEFT, at_y(tick), WIDTH - RIGHT, at_y(tick)), GRID, 2)
        draw.text((LEFT - 16, at_y(tick)), f"{tick:g}", QUIET, anchor="rm")
    for tick in ticks(right):
        if tick <= right:
            draw.text((at_x(tick), HEIGHT - BOTTOM + 16), f"{tick:g}", QUIET, anchor="mt")
    for border in borders:
        draw.line((at_x(border), TOP, at_x(border), HEIGHT - BOTTOM), QUIET, 2)
    draw.text((WIDTH / 2, HEIGHT - 12), x_label, QUIET, anchor="mb")

    # 2. Lines, with their names at the top
    draw.text((LEFT, 32), title, INK, anchor="lm")
    begin = LEFT + draw.textlength(title) + 48
    widths = (9, 5) * len(lines)  # of two that coincide, the first is seen at the sides of the next
    for colour, width, (name, (x, y)) in zip(COLOURS, widths, lines.items(), strict=False):
        points = np.stack([at_x(x), at_y(y)], 1)
        draw.line(points.ravel().tolist(), colour, width, joint="curve")
        for point in points.tolist() if len(points) <= 40 else ():
            draw.circle(point, 5, colour)
        if len(lines) > 1:
            draw.line((begin, 32, begin + 28, 32), colour, 6)
            draw.text((begin + 40, 32), name, INK, anchor="lm")
            begin += draw.textlength(name) + 76
    return np.asarray(image.reduce(2))


def ticks(highest: float) -> list[float]:
    """Up to six numbers from 0 to `highest` or beyond, in steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(highest / 5))
    step = min(power * factor for factor in (1, 2, 5, 10) if power * factor * 5.000001 >= highest)
    return [round(number * step, 10) for number in range(math.ceil(highest / step - 1e-6) + 1)]


def bar_chart(title: str, bars: Sequence[Bar], mean: float) -> np.ndarray:
    """Horizontal bars in percent, with intervals, and a line at the mean of those that are counted: (H, W, 3) uint8."""
    end = TOP + ROW * len(bars)
    image, draw = _canvas(end + BOTTOM)

    def at(share: float) -> float:
        return NAMES + share * (WIDTH - NAMES - VALUES)

    draw.text((32, 32), title, INK, anchor="lm")
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
        draw.line((at(share), TOP, at(share), end), GRID, 2)
        draw.text((at(share), end + 16), f"{share:.0%}", QUIET, anchor="mt")
    for number, (name, share, (low, high), counted) in enumerate(bars):
        top = TOP + ROW * number
        middle = top + ROW / 2
        draw.text((NAMES - 16, middle), fit_text(draw, draw.font, name, NAMES - 40), INK, anchor="rm")
        draw.rectangle((at(0), top + 6, at(share), top + ROW - 8), COLOURS[0] if counted else PALE)
        draw.line((at(low), middle, at(high), middle), INK, 2)
        draw.text((WIDTH - 16, middle), f"{share:.1%}", INK, anchor="rm")
    draw.line((at(mean), TOP - 8, at(mean), end), COLOURS[1], 3)
    draw.text((at(mean), TOP - 12), f"mIoU {mean:.1%}", COLOURS[1], anchor="mb")
    return np.asarray(image.reduce(2))
