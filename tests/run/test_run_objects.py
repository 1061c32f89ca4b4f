"""`generate` and `mask` that tell objects apart."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fake_engine import fake_draw
from interrupted import check_interrupted, contents
from photo_set import write_photos

from seediff.config.generate import GenerateConfig
from seediff.config.photographs import MaskPhotosConfig
from seediff.dataset.dataset import Dataset
from seediff.dataset.quality.check import check_dataset
from seediff.files.photographs import find_photos
from seediff.run.generate import generate
from seediff.run.mask import mask_photos

CONFIG = GenerateConfig(classes=("dog", "cat"), per_class=2, batch_size=2, classes_per_image=2)


WITH_OBJECTS = replace(CONFIG, objects=True)


def test_objects_of_drawn_images(tmp_path):
    """Nothing else than objects comes to the files and rows."""
    generate(CONFIG, tmp_path / "plain", draw=fake_draw)
    generate(WITH_OBJECTS, tmp_path / "out", draw=fake_draw)
    plain, told = contents(tmp_path / "plain"), contents(tmp_path / "out")
    same = [name for name in plain if name.startswith(("images/", "masks/", "steps/", "classes.txt"))]
    assert all(plain[name] == told[name] for name in same)
    assert {name for name in told.keys() - plain.keys() if not name.startswith("instances")} == set()
    rows = [json.loads(line) for line in (tmp_path / "out/metadata.jsonl").read_text().splitlines()]
    for sample, row in zip(Dataset.open(tmp_path / "out").samples, rows, strict=True):
        objects = sample.instances
        assert objects is not None
        assert row["instances"] == list(objects.class_ids)
        assert len(row.get("instance_scores", [])) == len(objects.class_ids)
        assert (objects.label_map() == sample.label_map)[objects.numbers > 0].all()
    assert any(row["instances"] for row in rows)
    assert not [finding for finding in check_dataset(tmp_path / "out").findings if finding.level == "error"]


def test_stopped_at_any_write_and_grown_it_has_the_same_bytes(tmp_path, monkeypatch):
    check_interrupted(lambda out: generate(WITH_OBJECTS, out, draw=fake_draw), tmp_path, monkeypatch, [3, 8, 14])
    fewer, more = (replace(WITH_OBJECTS, per_class=count, batch_size=1) for count in (1, 2))
    generate(fewer, tmp_path / "grown", draw=fake_draw)
    generate(more, tmp_path / "grown", draw=fake_draw)
    generate(more, tmp_path / "at-once", draw=fake_draw)
    assert contents(tmp_path / "grown") == contents(tmp_path / "at-once")


@pytest.mark.parametrize(("fit", "mask"), [("keep", {}), ("crop", {"method": "ca"})])
def test_objects_of_photographs(tmp_path, mini_folder, fit, mask):
    found = find_photos([write_photos(tmp_path / "in", 2)]).photos
    how = {"presence": 0.0, "timesteps": (100,), "model": str(mini_folder), "device": "cpu", "threads": 1, "fit": fit}
    config = MaskPhotosConfig.recommended(classes=("dog",), objects=True, mask=mask, batch_size=2, **how)
    mask_photos(config, found, tmp_path / "out")
    samples = Dataset.open(tmp_path / "out").samples
    assert len(samples) == 3
    count = 0
    for sample in samples:
        objects, labels = sample.instances, sample.label_map
        assert objects is not None
        count += len(objects.class_ids)
        assert objects.numbers.shape == labels.shape
        assert (labels[objects.numbers > 0] == 1).all()
        assert len(objects.scores) == len(objects.class_ids)
    assert count > 0
