"""A small folder of each layout, as distributed, and what is read from it."""

from __future__ import annotations

import numpy as np
import pytest
from layouts import add_pictures, save_ade20k, save_camvid, save_cityscapes, save_map, save_picture, save_voc

from seediff.dataset.labels import CITYSCAPES_CLASSES, VOC_CLASSES
from seediff.dataset.native_folder import write_native
from seediff.dataset.sample import Sample
from seediff.errors import UserError
from seediff.evaluate.evaluation import evaluate
from seediff.evaluate.layouts import open_evaluation
from seediff.evaluate.protocols import PROTOCOLS


def test_voc(tmp_path):
    maps = {"2007_000033": [[0, 1, 255], [20, 15, 0]], "2007_000042": [[0, 0]]}
    root = save_voc(tmp_path / "VOCdevkit" / "VOC2012", maps, {"2007_000061": [[3]]})
    add_pictures(root, "JPEGImages", maps, ".jpg")
    for folder in (tmp_path, tmp_path / "VOCdevkit", root):
        data = open_evaluation(folder)
        assert (data.layout, tuple(data.classes.values())) == ("voc", VOC_CLASSES)
        assert [sample.name for sample in data.samples] == list(maps)
        assert data.samples[0].unchecked_labels().tolist() == maps["2007_000033"]
        assert data.samples[0].image.shape == (2, 3, 3)
    assert data.own_protocol().classes == VOC_CLASSES


def test_cityscapes(tmp_path):
    maps = {"frankfurt/frankfurt_000000_000294": [[0, 24, 25], [26, 32, 33]], "munster/munster_000000_000019": [[7, 7]]}
    save_cityscapes(tmp_path, maps)
    add_pictures(tmp_path / "leftImg8bit", "val", maps, "_leftImg8bit.png")
    data = open_evaluation(tmp_path)
    assert [sample.name for sample in data.samples] == list(maps)
    sample = data.samples[0]
    assert sample.source == tmp_path / "leftImg8bit" / "val" / "frankfurt" / "frankfurt_000000_000294_leftImg8bit.png"
    assert sample.image.shape == (2, 3, 3)
    here = PROTOCOLS["cityscapes-human-vehicle"].truth_table(data.classes)[sample.unchecked_labels()]
    assert here.tolist() == [[255, 1, 1], [2, 255, 255]]
    assert data.stored[24] == "person"
    own = data.own_protocol().classes
    assert len(own) == 19
    assert own == tuple(name for name in CITYSCAPES_CLASSES if name in own)


def test_ade20k(tmp_path):
    maps = {"ADE_val_00000001": [[0, 13, 21], [81, 84, 150]]}
    data = open_evaluation(save_ade20k(tmp_path / "ADEChallengeData2016", maps).parent)
    assert (data.layout, len(data.classes), data.stored[84]) == ("ade20k", 150, "thing 84")
    here = PROTOCOLS["ade20k"].truth_table(data.classes)[data.samples[0].unchecked_labels()]
    assert here.tolist() == [[255, 3, 2], [1, 0, 0]]
    assert data.samples[0].image.shape == (2, 3, 3)


def test_plain_folder(tmp_path):
    save_map(tmp_path / "labels" / "trip" / "a.png", [[0, 1, 255]])
    save_picture(tmp_path / "images" / "trip" / "a.jpg", (1, 3))
    (tmp_path / "classes.txt").write_text("0 sky\n1 road\n255 unlabelled\n")
    data = open_evaluation(tmp_path)
    assert data.own_protocol().classes == ("sky", "road")
    assert [sample.name for sample in data.samples] == ["trip/a"]
    assert data.samples[0].image.shape == (1, 3, 3)
    with pytest.raises(UserError, match="has no parts"):
        open_evaluation(tmp_path, split="val")


def test_a_dataset_of_seediff(tmp_path):
    picture = save_picture(tmp_path / "a.png", (4, 6))
    labels = np.array([[0, 1, 2, 255, 0, 0]] * 4, np.uint8)
    items = [Sample(picture, labels, name="a"), Sample(picture, labels * 0, metadata={"split": "val"}, name="b")]
    write_native(tmp_path / "set", ("cat", "dog"), items, about={"command": "test"})
    data = open_evaluation(tmp_path / "set")
    assert data.own_protocol().classes == ("background", "cat", "dog")
    assert np.array_equal(data.samples[0].unchecked_labels(), labels)
    assert [sample.name for sample in open_evaluation(tmp_path / "set", split="val").samples] == ["b"]
    with pytest.raises(UserError, match=r"set: has no part 'test'; parts there: train, val$"):
        open_evaluation(tmp_path / "set", split="test")


def test_folders_that_cannot_be_evaluated_on(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        open_evaluation(tmp_path / "nothing")
    with pytest.raises(UserError, match="known format"):
        open_evaluation(tmp_path)


def test_camvids_own_labels_are_predictions_of_camvid(tmp_path):
    maps = {"0001TP_008550": [[0, 10, 11], [8, 9, 3]]}
    root = save_camvid(tmp_path / "CamVid", maps)
    for data in (root, root / "testannot"):
        found = evaluate(root / "testannot", data, protocol="camvid", boundary=False)
        assert (found.scores.miou, found.scores.pixels) == (1.0, 5)
        assert found.data.samples[0].image.shape == (2, 3, 3)
