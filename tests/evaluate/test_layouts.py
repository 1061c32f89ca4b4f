import numpy as np
import pytest
from layouts import save_ade20k, save_camvid, save_picture

from seediff.dataset.native_folder import write_native
from seediff.dataset.sample import Sample
from seediff.errors import UserError
from seediff.evaluate.evaluation import evaluate
from seediff.evaluate.layouts import open_evaluation
from seediff.evaluate.protocols import PROTOCOLS


def test_ade20k(tmp_path):
    maps = {"ADE_val_00000001": [[0, 13, 21], [81, 84, 150]]}
    data = open_evaluation(save_ade20k(tmp_path / "ADEChallengeData2016", maps).parent)
    assert (data.layout, len(data.classes), data.stored[84]) == ("ade20k", 150, "thing 84")
    here = PROTOCOLS["ade20k"].truth_table(data.classes)[data.samples[0].unchecked_labels()]
    assert here.tolist() == [[255, 3, 2], [1, 0, 0]]
    assert data.samples[0].image.shape == (2, 3, 3)


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


def test_camvids_own_labels_are_predictions_of_camvid(tmp_path):
    maps = {"0001TP_008550": [[0, 10, 11], [8, 9, 3]]}
    root = save_camvid(tmp_path / "CamVid", maps)
    for data in (root, root / "testannot"):
        found = evaluate(root / "testannot", data, protocol="camvid", boundary=False)
        assert (found.scores.miou, found.scores.pixels) == (1.0, 5)
        assert found.data.samples[0].image.shape == (2, 3, 3)
