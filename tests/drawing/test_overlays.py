import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from seediff.drawing.charts import HEIGHT, ROW, TOP, WIDTH, Bar, bar_chart, line_chart, ticks
from seediff.drawing.overlays import draw_named, fit_text, overlay
from seediff.files.label_maps import voc_palette


def test_overlay_mixes_inside_and_lightens_edges():
    image = np.full((6, 6, 3), 100, np.uint8)
    labels = np.zeros((6, 6), np.uint8)
    labels[:4, :4] = 1
    labels[5, 5] = 255
    mixed = overlay(image, labels, voc_palette(), alpha=0.25)
    assert mixed.dtype == np.uint8
    assert mixed[0, 0].tolist() == [107, 75, 75]  # 0.75 × 100 + 0.25 × (128, 0, 0)
    assert mixed[3, 0].tolist() == [192, 128, 128]  # halfway from (128, 0, 0) to white, rounded to even
    assert mixed[4, 0].tolist() == [100, 100, 100]
    assert mixed[5, 5].tolist() == [240, 240, 224]
    assert (overlay(image, np.zeros_like(labels), voc_palette()) == image).all()


def test_names_lie_in_their_regions_and_not_on_each_other():
    """Where a name was written, only its own region changed; a name too many is left out; Chinese is a number."""
    labels = np.zeros((120, 160), np.uint8)
    labels[10:60, 10:90], labels[70:110, 20:150], labels[5:9, 150:154] = 1, 2, 3
    grey = np.full((120, 160, 3), 90, np.uint8)
    plain = overlay(grey, labels, voc_palette())
    for names, changed in (
        ({1: "dog", 2: "Großmütterchen"}, {1, 2}),
        ({1: "狗"}, {1}),
        ({2: "dog", 4: "not there", 255: "ignored"}, {2}),
        ({}, set()),
    ):
        drawn = draw_named(grey, labels, names)
        assert set(np.unique(labels[(drawn != plain).any(-1)]).tolist()) == changed
        assert np.array_equal(drawn, draw_named(grey, labels, names))
    one, several = np.ones((12, 30), np.uint8), draw_named(None, np.ones((12, 30), np.uint8), {1: "dog"})
    numbers = np.tile(np.arange(30), (12, 1)) // 15 + 1  # two regions: the second name has no room
    assert np.array_equal(several, draw_named(None, one, {1: "dog", 2: "dog"}, np.ones_like(numbers)))
    assert draw_named(None, np.ones((3, 3), np.uint8), {1: "dog"}).shape == (3, 3, 3)


@pytest.mark.parametrize(
    ("text", "written"),
    [("dog", "dog"), ("a  long\tname", "a long name"), ("Größe 3–5 × 2", "Grosse 3-5 x 2"), ("狗 1", "? 1")],
)
def test_text_is_in_letters_that_the_font_has(text, written):
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    font = ImageFont.load_default(12)
    assert fit_text(draw, font, text, 500) == written
    short = fit_text(draw, font, text, 20)
    assert draw.textlength(short, font) <= 20
    assert short == written or short.endswith("…")


def test_charts_fit_their_bars():
    lines = {"loss": (np.arange(1, 9) / 2, np.linspace(3, 1, 8)), "mask": (np.arange(1, 9) / 2, np.linspace(1, 0, 8))}
    assert line_chart("losses", lines, "epochs", right=4.0, borders=[2.0]).shape == (HEIGHT // 2, WIDTH // 2, 3)
    bars = [Bar("dog", 1.0, (1.0, 1.0), True), Bar("cat", 0.5, (0.2, 0.8), False), Bar("none", 0.0, (0, 0), True)]
    chart = bar_chart("IoU", bars, 0.5)
    widths = []
    for number, colour in enumerate(([0, 114, 178], [163, 168, 173], [0, 114, 178])):
        row = chart[(TOP + ROW * number) // 2 + 6]
        widths.append(int((row == colour).all(-1).sum()))
    assert widths[2] < 3  # the edge of an empty bar
    assert abs(widths[0] - 2 * widths[1]) < 8


def test_nothing_in_a_chart_hides_another_thing():
    same = np.arange(1, 9) / 2, np.linspace(3, 1, 8)
    chart = line_chart("losses", {"mask": same, "dice": same}, "epochs", right=4.0)[TOP // 2 : -TOP // 2]
    assert [(chart == colour).all(-1).sum() > 100 for colour in ([0, 114, 178], [213, 94, 0])] == [True, True]
    bars = [Bar("none", 0.0, (0, 0), True)]
    first, second = bar_chart("IoU", bars, 0.02), bar_chart("IoU", bars, 0.5)
    assert (first[:, -40:] < 100).any()  # its value
    assert np.array_equal(first[:, -40:], second[:, -40:])  # which the line of the mean does not cross


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (48, [0, 10, 20, 30, 40, 50]),
        (0.32, [0, 0.1, 0.2, 0.3, 0.4]),
        (7, [0, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_even_numbers(highest, expected):
    assert ticks(highest) == expected
