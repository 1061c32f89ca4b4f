"""Charts of scores, drawn with matplotlib (the extra `plots`): lines over the epochs of a training, and which classes
are taken for others."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import Notice

PALE = "0.7"
LONGEST_NAME = 30
"""The maximum number of letters in a class's name."""

MOST_CLASSES = 40
"""The maximum number of classes in a confusion matrix."""

Lines = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Name of a line → its x and y."""


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


def confusion_chart(counts: np.ndarray, names: Sequence[str]) -> bytes:
    """The bytes of a PNG with a confusion matrix: a row for each class in the truth, a column for each prediction, and
    which share of the class's pixels got the prediction. Classes without a pixel in both are left out, and all but the
    MOST_CLASSES with the most wrong pixels.

    counts: (C, C + 1), as from `metrics.confusion`. names: of the C classes.
    """
    pixels = counts.sum(0) + np.append(counts.sum(1), 0)
    wrong = pixels - 2 * np.append(np.diagonal(counts), 0)
    columns = np.flatnonzero(pixels)
    columns = np.sort(columns[np.argsort(-wrong[columns], kind="stable")][:MOST_CLASSES])
    rows = columns[np.isin(columns, np.flatnonzero(counts.sum(1)))]
    shares = counts[np.ix_(rows, columns)] / counts[rows].sum(1, keepdims=True)
    labels = [name[:LONGEST_NAME] for name in (*names, "no class")]
    with _figure(2 + 0.4 * len(rows), max(4, 3 + 0.4 * len(columns))) as (figure, image):
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_yticks(range(len(rows)), [labels[i] for i in rows], parse_math=False)
        axes.set_xticks(range(len(columns)), [labels[i] for i in columns], parse_math=False, rotation=90)
        for y, x in np.argwhere(shares >= 0.01).tolist():
            colour = "white" if shares[y, x] > 0.5 else "black"
            axes.text(x, y, f"{100 * shares[y, x]:.0f}", ha="center", va="center", color=colour)
        axes.set(title="Percent of the pixels of each class", xlabel="prediction", ylabel="truth")
    return image.getvalue()


@contextmanager
def _figure(height: float, width: float = 9) -> Iterator[tuple[Any, io.BytesIO]]:
    """Yields (figure, image). figure: matplotlib's, to draw on in this block. image: gets the PNG at the end of the
    block. height, width: in inches."""
    import matplotlib.style
    from matplotlib.figure import Figure

    image = io.BytesIO()
    with matplotlib.style.context("seaborn-v0_8-colorblind", after_reset=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about letters that its font lacks, for which it draws a box
        figure = Figure((width, height), layout="constrained")
        yield figure, image
        figure.savefig(image, metadata={"Software": None})
