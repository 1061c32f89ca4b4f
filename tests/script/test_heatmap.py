import io

import numpy as np
import pytest
from PIL import Image

from seediff.errors import UserError
from seediff.report.pictures import heat_colours
from seediff.script.heatmap import HeatMap

VALUES = np.array([[0, 0.5], [0.25, 1]], np.float32).repeat(4, 0).repeat(4, 1)
PICTURE = np.full((8, 8, 3), 200, np.uint8)


def test_numbers_and_colours():
    heat = HeatMap(VALUES, "dog")
    assert heat.shape == (8, 8)
    assert np.array_equal(np.asarray(heat), VALUES)
    assert np.asarray(heat, np.float64).dtype == np.float64
    shown = np.asarray(heat.image())
    assert np.array_equal(shown[0, 0], heat_colours()[0])
    assert np.array_equal(shown[7, 7], heat_colours()[255])


def test_over_a_picture():
    heat = HeatMap(VALUES, "dog", PICTURE)
    assert np.array_equal(np.asarray(heat.over(alpha=0)), PICTURE)
    assert np.array_equal(np.asarray(heat.over(alpha=1)), np.asarray(heat.image()))
    assert heat.over(Image.new("RGBA", (16, 12))).size == (16, 12)
    with pytest.raises(UserError, match=r"^no picture to lay the heat map over"):
        HeatMap(VALUES, "dog").over()


def test_files(tmp_path):
    heat = HeatMap(VALUES, "dog", PICTURE)
    heat.save(tmp_path / "new" / "dog.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / "dog.png")), np.asarray(heat.image()))
    heat.save(str(tmp_path / "over.png"), over=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "over.png")), np.asarray(heat.over()))
    for suffix in ("psd", "xbm"):
        with pytest.raises(UserError, match=rf"dog\.{suffix}: cannot be written \(.+\); use \.png or \.jpg$"):
            heat.save(tmp_path / f"dog.{suffix}")
    assert [path.name for path in tmp_path.iterdir() if path.stem == "dog"] == []
    assert Image.open(io.BytesIO(heat._repr_png_())).size == (8, 8)
