import io

import numpy as np
import pytest
from PIL import Image

from seediff.drawing.charts import COLOURS, Bar, bar_chart, can_draw, line_charts
from seediff.errors import Notice

EPOCHS = np.arange(1, 9) / 2


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def count(chart, colour):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((chart == wanted).all(-1).sum())


@pytest.mark.parametrize("steps", [1, 8])
def test_every_line_is_seen(steps):
    """Also if it has a single point, coincides with another, or is a hundredth of the highest."""
    values = {"loss": 300.0, "class": 200.0, "mask": 2.0, "dice": 2.0, "auxiliary": 98.0}
    losses = {name: (EPOCHS[:steps], np.full(steps, value)) for name, value in values.items()}
    charts = {"losses": losses, "mIoU": {"mIoU": (EPOCHS[:steps], np.linspace(0, 50, steps))}}
    chart = pixels(line_charts(charts, "epochs", [2.0]))[:340, :700]  # without the names at the right
    assert [colour for colour in COLOURS if count(chart, colour) < 15] == []


def test_bars_are_as_long_as_their_shares():
    bars = [
        Bar("$x$ of 狗", 1.0, (1.0, 1.0), True),
        Bar("c" * 300, 0.5, (0.5, 0.5), True),
        Bar("none", 0.0, (0, 0), True),
    ]
    chart = pixels(bar_chart("IoU", bars, 0.25))
    rows = [count(row[None], COLOURS[0]) for row in chart]
    longest, half = max(rows), sorted({row for row in rows if row > 20})[0]
    assert abs(longest - 2 * half) < 10
    assert longest > 200


def test_a_chart_that_cannot_be_drawn_is_named(monkeypatch):
    assert can_draw("losses.png")
    monkeypatch.setattr("seediff.drawing.charts.find_spec", lambda name: None)
    with pytest.warns(Notice, match=r"losses.png is not drawn.*pip install 'seediff\[plots\]'"):
        assert not can_draw("losses.png")
