"""Charts of scores, drawn with matplotlib (the extra `plots`): lines over the epochs of a training, and bars of
classes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from ..errors import Notice
from ..files.messages import plural

PALE = "0.7"
LONGEST_NAME = 40
"""The maximum number of letters in a bar's name."""

Lines = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Name of a line → its x and y."""


class Bar(NamedTuple):
    """A bar of a chart, for a class."""

    name: str
    share: float
    """The length, in [0, 1]."""
    interval: tuple[float, float]
    """(low, high), the ends of a line over the bar."""
    counted: bool
    """Whether the class counts in the mean; if not, its bar is grey."""
    pictures: int
    """The number of pictures that show the class."""


class BarChart(NamedTuple):
    """A chart of horizontal bars."""

    title: str
    bars: Sequence[Bar]
    """From top to bottom, at least one."""
    label: str
    """The text below."""
    mean: float
    """Where a vertical line stands."""


def can_draw(file: str) -> bool:
    """Whether matplotlib is installed. If not, a notice says that the chart `file` is not drawn."""
    found = find_spec("matplotlib") is not None
    if not found:
        text = f"{file} is not drawn, because matplotlib is not installed; pip install 'seediff[plots]'"
        warnings.warn(text, Notice, stacklevel=2)
    return found


def line_charts(charts: Mapping[str, Lines], x_label: str, borders: Sequence[float] = ()) -> bytes:
    """The bytes of a PNG with charts of lines, one below the other. If the values of a chart are positive and differ
    much, its y axis is logarithmic, so that no line is flat. charts: title → lines. x_label: the text below each chart.
    borders: where vertical lines stand, as x."""
    with _figure(3.6 * len(charts)) as (figure, image):
        for axes, (title, lines) in zip(figure.subplots(len(charts), squeeze=False).flat, charts.items(), strict=True):
            for name, (x, y) in lines.items():
                axes.plot(x, y, ".-", label=name)
            for border in borders:
                axes.axvline(border, color=PALE)
            values = np.concatenate([y for _, y in lines.values()])
            if values.min() > 0 and values.max() > 10 * values.min():
                axes.set_yscale("log")
            axes.set(title=title, xlabel=x_label)
            axes.legend()
    return image.getvalue()


def bar_charts(charts: Sequence[BarChart]) -> bytes:
    """The bytes of a PNG with charts of horizontal bars, one below the other."""
    heights = [1.5 + 0.25 * len(chart.bars) for chart in charts]
    with _figure(sum(heights)) as (figure, image):
        places = figure.subplots(len(charts), squeeze=False, height_ratios=heights).flat
        for axes, (title, bars, label, mean) in zip(places, charts, strict=True):
            ys = range(len(bars))
            names = [f"{bar.name[:LONGEST_NAME]}  {bar.share:.1%}  ({plural(bar.pictures, 'image')})" for bar in bars]
            axes.barh(ys, [bar.share for bar in bars], color=["C0" if bar.counted else PALE for bar in bars])
            axes.set_yticks(ys, names, parse_math=False)
            axes.hlines(ys, *zip(*(bar.interval for bar in bars), strict=True), color="black")
            axes.axvline(mean, color="C2")
            axes.set(title=title, xlabel=label, xlim=(0, 1))
            axes.invert_yaxis()
    return image.getvalue()


@contextmanager
def _figure(height: float) -> Iterator[tuple[Any, io.BytesIO]]:
    """Yields (figure, image). figure: matplotlib's, 9 inches wide, to draw on in this block. image: gets the PNG at the
    end of the block. height: in inches."""
    import matplotlib.style
    from matplotlib.figure import Figure

    image = io.BytesIO()
    with matplotlib.style.context("seaborn-v0_8-colorblind", after_reset=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about letters that its font lacks, for which it draws a box
        figure = Figure((9, height), layout="constrained")
        yield figure, image
        figure.savefig(image, metadata={"Software": None})
