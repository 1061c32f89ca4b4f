import re
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from interrupted import check_interrupted
from items import rows_of
from photo_set import write_photos
from PIL import ImageOps
from refusals import refused, user_error

from seediff import Dataset
from seediff.attention.maps import AttentionMaps
from seediff.cli.main import main
from seediff.config.methods import SegmentConfig
from seediff.config.runs import MaskPhotosConfig, SegmentPhotosConfig
from seediff.dataset import native
from seediff.dataset.check import check_dataset
from seediff.files.image_files import read_photo
from seediff.files.photo_files import find_photos
from seediff.run.mask_job import mask_photos
from seediff.run.photos import read_classes_csv
from seediff.run.segment_job import segment_photos

SMALL = {"batch_size": 2, "device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos") / "in")


@pytest.fixture(scope="module")
def found(photos):
    return find_photos([photos]).photos


@pytest.fixture(scope="module")
def mask(mini_folder):
    """Makes a configuration."""
    how = {"model": str(mini_folder), "classes": ("dog", "car"), "presence": 0.0, "timesteps": (100, 300), **SMALL}
    return partial(MaskPhotosConfig, **how)


@pytest.fixture(scope="module")
def segment(mini_folder):
    """Makes a configuration."""
    constants = SegmentConfig(kl_threshold=0.3, num_points=8)
    return partial(SegmentPhotosConfig, model=str(mini_folder), segment=constants, **SMALL)


@pytest.mark.parametrize("fit", ["keep", "crop"])
def test_a_dataset_with_masks_of_the_photos_sizes(tmp_path, mask, found, photos, fit):
    found = found if fit == "keep" else found[2:5]
    result = mask_photos(mask(fit=fit, keep_soft=True, keep_attention=True, objects=True), found, tmp_path / "out")
    samples = list(Dataset.open(tmp_path / "out"))
    assert result.made == len(samples) == len(found)
    assert sum(len(sample.instances.class_ids) for sample in samples)
    for sample, photo in zip(samples, found, strict=True):
        np.testing.assert_array_equal(sample.image, read_photo(photo.path))
        height, width = sample.label_map.shape
        outside = height * width - min(height, width) ** 2 if fit == "crop" else 0
        assert (sample.label_map == 255).sum() == outside
        assert set(np.unique(sample.label_map)) <= {0, 1, 2, 255}
        assert sample.metadata["source"] == photo.name
        objects = sample.instances
        assert sample.soft.shape == (2, *objects.numbers.shape) == (2, height, width)
        assert (objects.label_map() == sample.label_map)[objects.numbers > 0].all()
    if fit == "keep":  # photographs of 96×128, 128×96, 100², 60×150, 33×47 and 96×128 are seen in their own shape
        saved = [AttentionMaps.load(tmp_path / "out" / f"attention/{photo.name}.safetensors") for photo in found]
        shapes = [(12, 16), (16, 12), (16, 16), (8, 20), (12, 20), (12, 16)]
        assert [maps.lattice for maps in saved] == shapes
        assert (tmp_path / "out" / "images" / "1.jpg").read_bytes() == (photos / "1.jpg").read_bytes()


def test_each_photo_its_own_classes(tmp_path, photos, mini_folder):
    table = tmp_path / "classes.csv"
    table.write_text('file,classes\n0.png,dog\n1,"car,dog"\ntrip/last.png,cat\n2.png,\n', encoding="utf-8")
    line = (f"mask {photos} --model {mini_folder} --presence 0 --timesteps 100 --out {tmp_path / 'out'}").split()
    assert main([*line, "--classes", str(table)]) == 0
    rows = {row["source"]: row["asked"] for row in rows_of(tmp_path / "out")}
    every = ["dog", "car", "cat"]
    assert rows == {"0": ["dog"], "1": ["car", "dog"], "2": [], "3": every, "4": every, "trip/last": ["cat"]}
    assert native.read_classes(tmp_path / "out") == ("dog", "car", "cat")


def test_a_path_in_the_folder_goes_before_the_name_of_a_file(tmp_path):
    for name in ("a.png", "b/a.png", "b/c.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    table = tmp_path / "classes.csv"
    table.write_text("file,classes\na.png,dog\nb/a,cat\nc.png,car\n")
    listed = read_classes_csv(table, find_photos([tmp_path / "in"]).photos)
    assert listed == {"a": ("dog",), "b/a": ("cat",), "b/c": ("car",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,classes\nnowhere.png,dog\n", "line 2: file 'nowhere.png' is the name of 0 photographs"),
        ("file,classes\n0.png,dog\n0.png,cat\n", "line 3: file '0.png' appears twice"),
    ],
)
def test_bad_tables_are_told_by_line(tmp_path, found, text, message):
    table = tmp_path / "classes.csv"
    table.write_text(text, encoding="utf-8")
    with user_error(message):
        read_classes_csv(table, found)


@pytest.mark.parametrize("fit", ["keep", "crop"])
def test_every_photo_has_segments_of_its_size(tmp_path, segment, found, fit):
    found = found if fit == "keep" else found[2:5]
    result = segment_photos(segment(fit=fit), found, tmp_path / "out")
    assert [row.source for row in result.rows] == [photo.name for photo in found]
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.classes == ("segment",)
    for sample, photo in zip(dataset.samples, found, strict=True):
        np.testing.assert_array_equal(sample.image, read_photo(photo.path))
        objects, (height, width) = sample.instances, sample.label_map.shape
        outside = objects.numbers == 0
        assert outside.sum() == (height * width - min(height, width) ** 2 if fit == "crop" else 0)
        np.testing.assert_array_equal(sample.label_map, np.where(outside, 255, 1))
        assert np.array_equal(np.unique(objects.numbers[~outside]), 1 + np.arange(len(objects.class_ids)))
        assert all(0 < score <= 1 for score in objects.scores)
    assert [finding for finding in check_dataset(tmp_path / "out").findings if finding.level == "error"] == []


def test_bad_photos_do_not_stop_the_others(tmp_path, mini_folder, capsys):
    folder = tmp_path / "in"
    write_photos(folder, 3)
    whole = (folder / "1.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no picture")
    line = (f"segment {folder} --model {mini_folder} --out {folder / 'out'} --kl-threshold 0.3 --num-points 8").split()
    assert main(line) == 2
    captured = capsys.readouterr()
    assert "2 of 6 images could not be used" in captured.err
    failed = {row["photo"]: row["reason"] for row in rows_of(folder / "out", "failed.jsonl")}
    assert sorted(failed) == ["text.jpg", "truncated.jpg"]
    assert all(str(tmp_path) not in reason for reason in failed.values())
    again = [word for word in line if word not in ("--model", str(mini_folder))]  # the model that it began with
    capsys.readouterr()
    assert main(again) == 2  # complete: says so again, and finds none of its own pictures
    assert "2 of 6 images could not be used" in capsys.readouterr().err
    assert len(rows_of(folder / "out")) == 4


def test_a_lack_of_memory_ends_the_run_and_leaves_no_photo_out(tmp_path, mini_folder, capsys, monkeypatch):
    folder = write_photos(tmp_path / "in", 3)
    line = f"segment {folder} --model {mini_folder} --out {tmp_path / 'out'} --kl-threshold 0.3 --num-points 8"
    line += " --batch-size 1 --device cpu --threads 1 --quiet"
    with monkeypatch.context() as patch:
        patch.setattr(ImageOps, "exif_transpose", Mock(side_effect=[None, None, MemoryError]))
        assert main(line.split()) == 2
    said = "out of memory (2 of 4 images finished in .*; run the same command to continue"
    assert re.search(said.replace("(", r"\("), capsys.readouterr().err)
    assert main(line.split()) == 0
    assert len(rows_of(tmp_path / "out")) == 4
    assert not (tmp_path / "out/failed.jsonl").exists()


def test_interrupted_and_continued_gives_the_same_bytes(tmp_path, found, mask, segment, monkeypatch):
    some = found[3:]
    masks, segments = mask(timesteps=(100,)), segment(names=("dog",))
    for name, run, chosen in (("mask", mask_photos, masks), ("segment", segment_photos, segments)):
        below = tmp_path / name
        below.mkdir()
        check_interrupted(lambda out, run=run, chosen=chosen: run(chosen, some, out), below, monkeypatch, (11,))
        with user_error("photos: .3 photographs"):
            run(chosen, some[:-1], below / "whole")
    with user_error(r'another configuration \(names: \["dog"\] → \["car"\]\); choose'):
        segment_photos(segment(names=("car",)), some, tmp_path / "segment/whole")


BAD = [
    ("mask {in} --classes dog --timesteps 50,50", "--timesteps: (50, 50) must be different noise levels"),
    ("mask {in} --classes {in}/empty.csv", "empty.csv: lists no class for any photograph"),
    ("mask {in} --classes dog --seed-level 64", "--seed-level: 64: the model has no"),
    ("segment {in} --names ,", "seediff: ',': has no name"),
    ("segment {in} --names background", "names: 'background' means the background"),
    ("segment {in} --names Segment", "names: 'segment' is the class of segments without a name"),
    ("mask {in} --classes dog --no-pamr --pamr-iterations 20", "pamr-iterations: has no effect, as PAMR is off"),
    ("segment {in} --method kmeans -k truth", "seediff: k: truth: is for studies of labelled images; give a number"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_answered_in_one_line(tmp_path, mini_folder, capsys, line, message):
    folder = write_photos(tmp_path / "in", 1)
    (folder / "empty.csv").write_text("file,classes\n0.png,\n", encoding="utf-8")
    given = line.replace("{in}", str(folder))
    assert message in refused(capsys, given, f"--model {mini_folder} --out {tmp_path}/out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("photos", ["folder", Path("folder"), ["a.jpg", "b.jpg"]])
def test_photographs_that_were_not_found_yet_are_refused_in_a_line(tmp_path, mask, segment, photos):
    for run, config in ((mask_photos, mask()), (segment_photos, segment())):
        with user_error(r'photos: must be what `find_photos` returns, not "(folder|a.jpg)"; give find_photos\("'):
            run(config, photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()
