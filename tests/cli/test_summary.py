from pathlib import Path

import pytest

from seediff.cli.summary import show_masks, show_segments
from seediff.config.photos_config import MaskPhotosConfig, SegmentPhotosConfig
from seediff.run.loop import RunResult

ODD = ("b]", "[/b]", "[link=x]")


@pytest.fixture
def said(capsys, monkeypatch):
    """A function that calls another one, and returns what that printed."""
    monkeypatch.setenv("COLUMNS", "160")

    def call(show, *given, **more):
        show(*given, **more)
        return capsys.readouterr().out

    return call


def segments_of(names):
    rows = [{"source": name, "classes": ["segment", name], "instances": [2, 1, 2]} for name in names]
    return RunResult(Path("out[b]"), rows, len(rows), {"segmenting": 1.0})


@pytest.mark.parametrize("name", ODD)
def test_names_are_no_markup(said, name):
    result = segments_of((name,))
    text = said(show_segments, result, SegmentPhotosConfig(model="mini"), 0)
    (row,) = (line for line in text.splitlines() if "│" in line and line.count(name) > 1)
    assert "3" in row
    assert row.count(name) == 2  # the photograph's and the segment's
    assert "Look at 'out[b]/preview.html'" in text
    run = RunResult(
        Path("out"), [{"file_name": "images/0.png", "classes": [name], "asked": [name], "area": {name: 0.5}}], 1, {}
    )
    config = MaskPhotosConfig(classes=(name,), model="mini")
    assert name in said(show_masks, run, config, 0)


@pytest.mark.parametrize(("found", "told"), [("segment", 1), ("dog", 0)])
def test_names_that_no_segment_got_are_told(said, found, told):
    result = segments_of((found,))
    text = said(show_segments, result, SegmentPhotosConfig(model="mini", names=("dog",)), 0)
    assert text.count("No segment got a name: none reached --name-threshold") == told
    assert ("names" in text.splitlines()[1]) == (not told)


def test_photos_of_one_segment_get_a_hint(said):
    rows = [{"source": "a", "classes": ["segment"], "instances": [1]}]
    result = RunResult(Path("out"), rows, 1, {"segmenting": 1.0})
    text = said(show_segments, result, SegmentPhotosConfig(model="mini"), 0)
    assert "Most are one segment: lower --kl-threshold, or use --method kmeans -k 5." in text
    assert " export out --to coco " in text
