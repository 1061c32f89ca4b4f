"""Photographs in their own shape against squeezed ones: the figures follow from the scenes."""

import json

import numpy as np
import pytest

from seediff.errors import UserError
from seediff.metrics.matching import contingency, match, tally
from seediff.mini.world.packaged import load_scenes
from seediff.study import fit
from seediff.study.fit import Way, figures, run_fit


def way(ious, found) -> Way:
    truth = np.array([[0, 0, 1, 1]] * 4, np.int32)
    tables = [contingency(np.array([row] * 4, np.int32), truth, 2) for row in found]
    return Way("keep", None, list(ious), [0, 1], [tally(one, match([one])) for one in tables], (48, 64))


def test_figures_are_differences_of_the_same_scenes():
    ahead = figures(way((0.5, 0.9), ([0, 0, 1, 1], [0, 0, 1, 1])), way((0.4, 0.6), ([0, 0, 0, 1], [0, 0, 1, 1])))
    assert ahead["seen"] == "64x48"
    assert (ahead["mask_iou"], ahead["mask_ahead"], ahead["mask_ahead_ci95"]) == (0.7, 0.2, [0.1, 0.3])
    assert (ahead["segment_acc"], ahead["segment_miou"]) == (1.0, 1.0)
    assert 0 < ahead["segment_ahead"] < 0.3
    assert ahead["segment_ahead_ci95"][0] == 0  # the second scene alone: no difference


def test_every_way_is_measured_on_every_scene(mini_folder, tmp_path, monkeypatch):
    scenes = load_scenes("wide", 3)
    assert [scene.image.shape[:2] for scene in scenes] == [(144, 192), (192, 144), (144, 192)]
    shown = []
    real = fit.encode_images

    def noted(model, images):
        shown.extend(image.shape[:2] for image in images)
        return real(model, images)

    monkeypatch.setattr(fit, "encode_images", noted)
    result = run_fit(3, tmp_path / "out", model=str(mini_folder), device="cpu")
    keep = [(48, 64), (48, 64), (64, 48)]  # alike in shape go together
    assert shown == [*keep * 2, *[(64, 64)] * 6]
    assert {name: row["seen"] for name, row in result["ways"].items()} == {
        "keep": "64x48",
        "keep, longer side": "64x48",
        "resize": "64x64",
        "crop": "64x64",
    }
    assert result["pairs"] == sum(len(scene.classes) for scene in scenes)
    assert result["ways"]["resize"]["mask_ahead_ci95"] == [0, 0]
    assert all(0 <= row["mask_iou"] <= 1 and 0 <= row["segment_miou"] <= 1 for row in result["ways"].values())
    assert json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["ways"] == result["ways"]
    assert (tmp_path / "out" / "results.md").read_text(encoding="utf-8").count("\n| ") == 5


def test_mistakes_are_answered(tmp_path):
    with pytest.raises(UserError, match=r"scenes = 121: wide.safetensors holds 120"):
        run_fit(121, tmp_path)
