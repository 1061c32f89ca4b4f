"""Charts of scores, drawn with Pillow: lines over the epochs of a training, and bars of classes. They are drawn at
twice their size and halved, which smooths them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .overlays import fit_text

WIDTH, HEIGHT = 720, 300
"""Pixels of a chart of lines."""
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 44, 44
"""Pixels around its lines."""
ROW = 22
"""Pixels of a bar and its gap."""
NAMES, VALUES = 170, 60
"""Pixels for the names of bars, and for their values."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Okabe and Ito's, which colour-blind readers tell apart."""
INK, QUIET, GRID = "#1d1f21", "#5c6166", "#dcdcd8"


@dataclass(frozen=True)
class Bar:
    """A share in [0, 1] and its interval. counted: whether it is in the mean."""

    name: str
    share: float
    interval: tuple[float, float]
    counted: bool


class Canvas:
    """A white picture that is drawn on in pixels of its final size."""

    def __init__(self, width: int, height: int) -> None:
        self._picture = Image.new("RGB", (2 * width, 2 * height), "white")
        self._draw = ImageDraw.Draw(self._picture)

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1) -> None:
        self._draw.line([(2 * x, 2 * y) for x, y in points], colour, round(2 * width), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        self._draw.rectangle((2 * left, 2 * top, 2 * right, 2 * bottom), colour)

    def text(self, x: float, y: float, text: str, anchor: str, colour: str = INK, width: float = WIDTH) -> float:
        """Write a text, shortened to `width` pixels. Returns its length in pixels. anchor: as Pillow's."""
        font = ImageFont.load_default(24)
        shown = fit_text(self._draw, font, text, 2 * width)
        self._draw.text((2 * x, 2 * y), shown, colour, font, anchor=anchor)
        return self._draw.textlength(shown, font) / 2

    def image(self) -> np.ndarray:
        return np.asarray(self._picture.reduce(2))


def line_chart(
    title: str,
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    x_label: str,
    *,
    right: float,
    borders: Sequence[float] = (),
) -> np.ndarray:
    """A chart (HEIGHT, WIDTH, 3) uint8. lines: name → x from 0 to `right`, and y from 0. borders: x of vertical
    lines."""
    canvas = Canvas(WIDTH, HEIGHT)
    highest = max(float(y.max()) for _, y in lines.values()) or 1.0
    y_ticks, x_ticks = ticks(highest), [tick for tick in ticks(right) if tick <= right]
    highest = max(highest, y_ticks[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        share_x, share_y = x / right, y / highest
        return LEFT + share_x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share_y * (HEIGHT - TOP - BOTTOM)

    # 1. Axes
    for tick in y_ticks:
        canvas.line([at(0, tick), at(right, tick)], GRID)
        canvas.text(LEFT - 8, at(0, tick)[1], f"{tick:g}", "rm", QUIET)
    for tick in x_ticks:
        canvas.text(at(tick, 0)[0], HEIGHT - BOTTOM + 8, f"{tick:g}", "mt", QUIET)
    for border in borders:
        canvas.line([at(border, 0), at(border, highest)], QUIET)
    canvas.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, "mb", QUIET)

    # 2. Lines, with their names at the top; a single point is a dot.
    x_name = LEFT + canvas.text(LEFT, 16, title, "lm") + 24
    for colour, (name, (x, y)) in zip(COLOURS, lines.items(), strict=False):
        points = [at(*point) for point in zip(x.tolist(), y.tolist(), strict=True)]
        canvas.line(points, colour, 1.5)
        for x_point, y_point in points if len(points) <= 40 else ():
            canvas.box(x_point - 2, y_point - 2, x_point + 2, y_point + 2, colour)
        if len(lines) > 1:
            canvas.box(x_name, 14, x_name + 14, 17, colour)
            x_name += 20 + canvas.text(x_name + 20, 16, name, "lm") + 18
    return canvas.image()


def ticks(highest: float) -> list[float]:
    """About five even numbers from 0, which reach `highest`, that people count in: steps of 1, 2 or 5."""
    power = 10.0 ** math.floor(math.log10(highest / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= highest * (1 - 1e-9))
    return [round(number * step, 10) for number in range(math.ceil(highest / step - 1e-9) + 1)]


def bar_chart(title: str, bars: Sequence[Bar], mean: float) -> np.ndarray:
    """Horizontal bars in percent, with their intervals, and a line at the mean of those that are counted:
    (H, WIDTH, 3) uint8."""
    end = TOP + ROW * len(bars)
    canvas = Canvas(WIDTH, end + BOTTOM)

    def at(share: float) -> float:
        return NAMES + share * (WIDTH - NAMES - VALUES)

    canvas.text(16, 16, title, "lm")
    for percent in range(0, 101, 20):
        canvas.line([(at(percent / 100), TOP), (at(percent / 100), end)], GRID)
        canvas.text(at(percent / 100), end + 8, f"{percent}%", "mt", QUIET)
    for number, bar in enumerate(bars):
        top = TOP + ROW * number
        middle = top + ROW / 2
        canvas.text(NAMES - 8, middle, bar.name, "rm", INK if bar.counted else QUIET, NAMES - 20)
        canvas.box(at(0), top + 3, at(bar.share), top + ROW - 4, COLOURS[0] if bar.counted else "#a3a8ad")
        low, high = bar.interval
        canvas.line([(at(low), middle), (at(high), middle)], INK)
        canvas.text(at(max(high, bar.share)) + 8, middle, f"{bar.share:.1%}", "lm")
    canvas.line([(at(mean), TOP - 4), (at(mean), end)], COLOURS[1], 1.5)
    canvas.text(at(mean), TOP - 6, f"mIoU {mean:.1%}", "mb", COLOURS[1])
    return canvas.image()
