"""Charts of scores, drawn with matplotlib (the extra `plots`): lines over the epochs of a training, and bars of
classes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from ..errors import Notice

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""
PALE = "#a3a8ad"
MARKED_POINTS = 40
"""About this many points of a line are marked; all points of a shorter line."""
LONGEST_NAME = 40
"""The maximum number of letters in a bar's name."""

Lines = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Name of a line → its x and y."""


class Bar(NamedTuple):
    """A class's share in [0, 1] and its interval. counted: whether the class is in the mean."""

    name: str
    share: float
    interval: tuple[float, float]
    counted: bool


def can_draw(file: str) -> bool:
    """Whether matplotlib is installed. Without it a notice says that `file` is not drawn."""
    found = find_spec("matplotlib") is not None
    if not found:
        text = f"{file} is not drawn, because matplotlib is not installed; pip install 'seediff[plots]'"
        warnings.warn(text, Notice, stacklevel=2)
    return found


def line_charts(charts: Mapping[str, Lines], x_label: str, borders: Sequence[float] = ()) -> bytes:
    """A PNG with charts of lines, one below the other. charts: title → lines. If all values are above 0 and differ
    much, the axis is logarithmic, so that no line is flat. borders: x of vertical lines."""
    with _figure(3.6 * len(charts)) as (figure, image):
        from matplotlib.ticker import LogLocator

        rows = figure.subplots(len(charts), squeeze=False, sharex=True)[:, 0]
        for axes, (title, lines) in zip(rows, charts.items(), strict=True):
            axes.set_prop_cycle(color=COLOURS, marker=[*"osD^v"], linewidth=[2.6, 2.2, 1.8, 1.4, 1.0])
            for number, (name, (x, y)) in enumerate(lines.items()):
                # Lines that coincide differ in their widths, and have marks in different places
                every = max(1, len(x) // MARKED_POINTS)
                axes.plot(x, y, label=name, markersize=5, markevery=(number * every // len(lines), every))
            for border in borders:
                axes.axvline(border, color=PALE, linestyle="--")
            values = np.concatenate([y for _, y in lines.values()])
            if values.min() > 0 and values.max() > 10 * values.min():
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter("")
            axes.set_title(title, loc="left")
            axes.grid(color=PALE, alpha=0.4)
            if len(lines) > 1:
                axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        rows[-1].set_xlabel(x_label)
    return image.getvalue()


def bar_chart(title: str, bars: Sequence[Bar], mean: float) -> bytes:
    """A PNG of horizontal bars in percent, the first at the top, with intervals, and a line at the mean."""
    places, shares = np.arange(len(bars)), np.array([bar.share for bar in bars])
    ends = np.array([bar.interval for bar in bars]).T
    with _figure(1.2 + 0.25 * len(bars)) as (figure, image):
        axes = figure.subplots()
        colours = [COLOURS[0] if bar.counted else PALE for bar in bars]
        axes.barh(places, 100 * shares, color=colours, height=0.7)
        axes.hlines(places, *(100 * ends), color="black", linewidth=1)
        axes.axvline(100 * mean, color=COLOURS[1])
        names = [f"{bar.name[:LONGEST_NAME]}  {bar.share:.1%}" for bar in bars]
        axes.set_yticks(places, names, parse_math=False)
        axes.set(xlim=(0, 100), ylim=(len(bars) - 0.5, -0.5), xlabel=f"IoU, %; the line is mIoU {mean:.1%}")
        figure.suptitle(title, x=0.01, horizontalalignment="left")
        axes.grid(axis="x", color=PALE, alpha=0.4)
        axes.set_axisbelow(True)
    return image.getvalue()


@contextmanager
def _figure(height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """(figure, image). figure: 9 inches wide, to draw on in this block, without the user's own settings of matplotlib.
    image: has the PNG after the block."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it says when it looks for fonts, which happens once
    import matplotlib.style
    from matplotlib.figure import Figure

    image = io.BytesIO()
    with matplotlib.style.context("default", after_reset=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about letters that its font lacks, for which it draws a box
        figure = Figure(figsize=(9, height), dpi=100, layout="constrained")
        yield figure, image
        figure.savefig(image, format="png", metadata={"Software": None})
