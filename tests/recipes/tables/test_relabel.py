"""Other masks of the same images: from the yardstick and from attention, kept by what decides them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recipes.mini import yardstick
from recipes.mini.world import write_scene_set
from recipes.tables.definition import Source, packaged, read_table
from recipes.tables.relabel import check_masks, relabelled
from recipes.tables.sources import Places, described, open_source
from seediff.dataset.store import open_native
from seediff.errors import UserError
from seediff.metrics.scores import iou
from seediff.run.mask import MaskJob

SETS = read_table(packaged("strategy", "embedded")).sets


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("relabel")
    write_scene_set(folder / "scenes", "tune", count=6)
    return Places(folder / "work", {"scenes": folder / "scenes"})


def mean_iou(masks, places, count=6):
    """Over images and classes, against the exact masks; the images must be the same."""
    exact_classes, exact = open_native(places.folders["scenes"])
    found = open_source(Source(scenes="tune", count=count, masks=masks), SETS, places)
    assert found.classes == exact_classes
    values = []
    for one, other in zip(exact[:count], found.items, strict=True):
        assert one.source.read_bytes() == other.source.read_bytes()
        ids = [exact_classes.index(name) + 1 for name in one.metadata["classes"]]
        made, true = other.label_map, one.label_map
        assert set(np.unique(made)) <= {0, *ids}
        values += [iou(made == i, true == i) for i in ids]
    return float(np.mean(values))


def test_masks_of_the_yardstick_and_of_attention(places, monkeypatch):
    assert mean_iou("yardstick", places) > 0.7
    assert mean_iou("main.ca", places, 2) > 0.4
    monkeypatch.setattr(yardstick, "load_segmenter", None)
    monkeypatch.setattr(MaskJob, "capture", None)
    assert mean_iou("yardstick", places) > 0.7  # there already
    assert mean_iou("main.ca", places, 2) > 0.4


def test_what_decides_the_masks_decides_the_folder(places):
    source = Source(scenes="tune", count=6)
    keys = [
        described(replace(source, masks=masks), SETS, places)
        for masks in (None, "yardstick", "main.ca", "main.seediff")
    ]
    assert len({str(key) for key in keys}) == 4
    assert "masks" not in keys[0]
    other = {"main": replace(SETS["main"], labels={**SETS["main"].labels, "ca": SETS["main"].labels["caa"]})}
    assert described(replace(source, masks="main.ca"), other, places) != keys[2]


def test_a_damaged_picture_is_named(places, tmp_path):
    classes, items = open_native(places.folders["scenes"])
    damaged = [items[0], items[1].replace(image=items[1].source.read_bytes()[:200])]
    with pytest.raises(UserError, match="sample '000001': its picture: cannot be read as a picture"):
        relabelled(classes, damaged, "yardstick", SETS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("masks", ["yardstick", "other.ca", "main.cam", "seediff", "lost.ca"])
def test_masks_that_cannot_be_made(masks):
    with pytest.raises(UserError, match="zebra" if masks == "yardstick" else f"masks = '{masks}'|'cam'|'nowhere'"):
        check_masks(
            masks, "data 'a'", ("dog", "zebra"), {"main": SETS["main"], "lost": replace(SETS["main"], model="nowhere")}
        )
