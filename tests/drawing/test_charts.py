import io

import numpy as np
import pytest
from PIL import Image

from seediff.drawing.charts import Bar, bar_chart, can_draw, line_charts
from seediff.errors import Notice

COLOURS = ("0072b2", "009e73", "d55e00", "cc79a7", "f0e442")
"""The first five of matplotlib's colours for colour-blind readers."""


def count(png, colour):
    """The number of pixels of a colour in each row of a picture."""
    chart = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    return (chart == list(bytes.fromhex(colour))).all(-1).sum(1).tolist()


@pytest.mark.parametrize("steps", [1, 8])
def test_every_line_is_seen(steps):
    """Also if it has a single point, or is a hundredth of the highest."""
    epochs, values = np.arange(1, steps + 1) / 2, (300.0, 200.0, 3.0, 2.0, 98.0)
    lines = {str(value): (epochs, np.full(steps, value)) for value in values}
    chart = line_charts({"losses": lines, "mIoU": {"mIoU": (epochs, np.linspace(0, 50, steps))}}, "epochs", [2.0])
    assert [colour for colour in COLOURS if sum(count(chart, colour)) < 15] == []


def test_bars_are_as_long_as_their_shares():
    shares = {"$x$ of 狗": 1.0, "c" * 300: 0.5, "none": 0.0}
    chart = bar_chart("IoU", [Bar(name, share, (share, share), True) for name, share in shares.items()], 0.25)
    lengths = sorted({length for length in count(chart, COLOURS[0]) if length > 20})
    assert lengths[-1] > 200
    assert abs(lengths[-1] - 2 * lengths[0]) < 10


def test_a_chart_that_cannot_be_drawn_is_named(monkeypatch):
    assert can_draw("losses.png")
    monkeypatch.setattr("seediff.drawing.charts.find_spec", lambda name: None)
    with pytest.warns(Notice, match=r"losses.png is not drawn.*pip install 'seediff\[plots\]'"):
        assert not can_draw("losses.png")
