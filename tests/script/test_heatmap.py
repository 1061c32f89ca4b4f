from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from refusals import user_error

from seediff.drawing.colours import css_colour, heat_colours, mask_colours
from seediff.drawing.overlays import overlay
from seediff.masks.results import MaskResult
from seediff.script.results import HeatMap
from seediff.segments.make_segments import Segments

BILINEAR = Image.Resampling.BILINEAR
VALUES = np.array([[0, 0.5], [0.25, 1]], np.float32).repeat(4, 0).repeat(4, 1)
PIXELS = np.full((8, 8, 3), 200, np.uint8)


def test_over_an_image():
    heat = HeatMap(VALUES, "dog", PIXELS)
    assert np.array_equal(np.asarray(heat.over(alpha=0)), np.full((256, 256, 3), 200))  # enlarged
    assert np.array_equal(np.asarray(heat.over(alpha=1)), np.asarray(heat.image().resize((256, 256), BILINEAR)))
    clear = heat.over(Image.new("RGBA", (16, 12)), alpha=0)
    assert clear.size == (256, 192)
    assert np.asarray(clear).min() == 255  # on white
    assert heat.over(Image.new("RGBA", (400, 12))).size == (400, 12)
    with user_error(r"^no image to overlay the heat map on: .*; give it, heatmap\('dog', pixels=image\), or over"):
        HeatMap(VALUES, "dog").over()


def test_files(tmp_path):
    heat = HeatMap(VALUES, "dog", PIXELS)
    heat.save(tmp_path / "dog.png")
    saved, over = np.asarray(Image.open(tmp_path / "dog.png")), np.asarray(heat.over(scale=True))
    assert np.array_equal(saved[:8], np.asarray(heat.image()))
    assert np.array_equal(over[:256], np.asarray(heat.over()))
    assert np.array_equal(saved[[0, 7], [0, 7]], heat_colours()[[0, 255]])
    assert len(saved) == 8 + 18
    assert len(over) == 256 + 18


def test_notebooks():
    """A title, picture and overlay, and a legend; in one line elsewhere."""
    result = MaskResult(
        np.array([[0, 1], [2, 255]], np.uint8), torch.zeros(2, 2, 2), ("dog", "a <b>"), ("no_seeds:dog",)
    )
    for shown, line, title, legend in (
        (HeatMap(VALUES, "dog", PIXELS), "<HeatMap of 'dog', (8, 8)>", "<b>dog</b>", ["least to most attention"]),
        (
            Segments(np.array([[0, 1], [1, -1]], np.int32), (0.5, 1.0), PIXELS[:2, :2]),
            "<Segments: (2, 2), 2 segments>",
            "<b>2 segments</b>",
            [],
        ),
        (
            replace(result, pixels=PIXELS[:2, :2]),
            "<MaskResult: (2, 2), dog 25%, a <b> 25%, ignored 25%, no_seeds:dog>",
            "<b>dog, a &lt;b&gt;</b>",
            ["dog 25%", css_colour(1), "a &lt;b&gt; 25%", css_colour(2), "ignored 25%"],
        ),
    ):
        page = shown._repr_html_()
        assert repr(shown) == line
        assert page.count("data:image/jpeg") == 2
        assert replace(shown, pixels=None)._repr_html_().count("data:image/jpeg") == 1
        assert all(text in page for text in (title, *legend))


def test_masks_of_a_small_image_are_enlarged_and_named_beside():
    labels = np.zeros((8, 16), np.uint8)
    labels[2:6, 2:6] = 1
    result = MaskResult(labels, torch.zeros(2, 8, 16), ("dog", "cat"), ())
    drawn = np.asarray(result.overlay())
    assert drawn.shape[0] == 128
    assert drawn.shape[1] > 256
    assert np.array_equal(drawn[:, :256], overlay(None, labels.repeat(16, 0).repeat(16, 1)))  # no name is in it
    colours = {tuple(colour) for colour in drawn[:, 256:].reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in mask_colours()[[1, 2]].tolist()} <= colours
    segments = Segments(np.array([[0, 1]], np.int32), (0.5, 1.0), np.zeros((1, 2, 3), np.uint8))
    assert segments.overlay().size == (256, 128)
