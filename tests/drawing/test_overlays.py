import numpy as np
import pytest

from seediff.drawing.charts import can_draw
from seediff.drawing.colours import UNNAMED, mask_colours, shown_ids
from seediff.drawing.overlays import draw_named, overlay
from seediff.errors import Notice


def test_overlay_fills_lightly_with_a_bright_line_and_a_white_and_a_black_one_outside():
    image = np.full((8, 8, 3), 100, np.uint8)
    labels = np.zeros((8, 8), np.uint8)
    labels[:4, :4] = 1
    labels[7, 7] = 255
    mixed, colour = overlay(image, labels, alpha=0.25), mask_colours()[1]
    assert mixed[0, 0].tolist() == (75 + 0.25 * colour).round().tolist()
    assert (mixed[2:4, 0] == colour).all()
    assert mixed[4:7, 0, 0].tolist() == [255, 0, 100]
    assert mixed[7, 7].tolist() == mask_colours()[255].tolist()
    assert (overlay(image, np.zeros_like(labels)) == image).all()
    numbers = np.zeros((8, 8), np.int32)
    numbers[:4, :2], numbers[:4, 2:4] = 1, 2
    assert overlay(image, labels, numbers)[0, 2].tolist() == colour.tolist()


def luminance(pixels):
    """Relative luminance, as WCAG 2 defines it."""
    parts = pixels / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def test_an_outline_has_a_contrast_of_three_to_any_picture():
    """Within three pixels of the border of any region, even in a gap of one pixel and where two classes touch."""
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    image[:, :30] = image[:, :1]  # grey and coloured stripes
    labels = np.zeros((60, 60), np.uint8)
    labels[5:30, 5:50], labels[31:55, 5:28], labels[31:55, 28:50], labels[40:44, 35:39] = 1, 2, 3, 0
    levels = [luminance(one) + 0.05 for one in (image, overlay(image, labels))]
    seen = np.maximum(*levels) / np.minimum(*levels) >= 3
    inside = np.argwhere(labels)
    borders = [(y, x) for y, x in inside if (labels[y - 1 : y + 2, x - 1 : x + 2] != labels[y, x]).any()]
    assert len(borders) > 200
    assert all(seen[y - 3 : y + 4, x - 3 : x + 4].any() for y, x in borders)


def test_names_lie_in_their_regions_and_not_on_each_other():
    """Where a name was written, only its own region changed; a name too many is left out; Chinese is a number."""
    labels = np.zeros((120, 160), np.uint8)
    labels[10:60, 10:90], labels[70:110, 20:150], labels[5:9, 150:154] = 1, 2, 3
    grey = np.full((120, 160, 3), 90, np.uint8)
    plain = overlay(grey, labels)
    for names, changed in (
        ({1: "dog", 2: "Großmütterchen"}, {1, 2}),
        ({1: "狗"}, {1}),
        ({2: "dog", 4: "not there", 255: "ignored"}, {2}),
        ({}, set()),
    ):
        drawn = draw_named(grey, labels, names)
        assert set(np.unique(labels[(drawn != plain).any(-1)]).tolist()) == changed
    one, several = np.ones((12, 30), np.uint8), draw_named(None, np.ones((12, 30), np.uint8), {1: "dog"})
    numbers = np.tile(np.arange(30), (12, 1)) // 15 + 1  # two regions: the second name has no room
    assert np.array_equal(several, draw_named(None, one, {1: "dog", 2: "dog"}, np.ones_like(numbers)))
    assert draw_named(None, np.ones((3, 3), np.uint8), {1: "dog"}).shape == (3, 3, 3)


def test_unnamed_segments_have_no_colour_of_a_class():
    label_map, numbers = np.array([[0, 1, 1, 2, 255]], np.uint8), np.array([[0, 1, 2, 3, 0]])
    shown = shown_ids(label_map, numbers, 1, alone=False)
    assert shown.tolist() == [[0, UNNAMED, UNNAMED + 1, 2, 255]]
    table = mask_colours()
    named, unnamed = ({tuple(one) for one in part.tolist()} for part in (table[1:UNNAMED], table[UNNAMED:255]))
    assert not named & unnamed
    assert shown_ids(label_map, numbers, 1, alone=True).tolist() == [[0, 1, 2, 2, 255]]


def test_a_chart_that_cannot_be_drawn_is_named(monkeypatch):
    assert can_draw("losses.png")
    monkeypatch.setattr("seediff.drawing.charts.find_spec", lambda name: None)
    with pytest.warns(Notice, match=r"losses.png is not drawn.*pip install 'seediff\[plots\]'"):
        assert not can_draw("losses.png")
