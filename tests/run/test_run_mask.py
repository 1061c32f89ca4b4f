from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted import check_interrupted, contents
from photo_set import scene_photo, write_photos
from PIL import Image

from seediff.attention.maps import AttentionMaps
from seediff.cli import main
from seediff.config.photographs import MaskPhotosConfig
from seediff.dataset import native, store
from seediff.dataset.dataset import Dataset
from seediff.errors import UserError
from seediff.files.photographs import find_photos, read_photo
from seediff.masks.make import MaskResult
from seediff.report.saved_steps import load_trace
from seediff.run.mask import MaskJob, mask_photos
from seediff.run.photos import read_classes_csv


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "in")


def config(mini_folder, **values) -> MaskPhotosConfig:
    values = {"classes": ("dog", "car"), "presence": 0.0, "timesteps": (100, 300), **values}
    return MaskPhotosConfig(model=str(mini_folder), batch_size=2, device="cpu", threads=1, **values)


@pytest.mark.parametrize("fit", ["keep", "crop"])
def test_a_dataset_with_masks_of_the_photographs_sizes(tmp_path, photos, mini_folder, fit):
    found = find_photos([photos]).photos
    result = mask_photos(config(mini_folder, fit=fit, keep_soft=True), found, tmp_path / "out")
    samples = list(store.read_dataset(tmp_path / "out"))
    assert result.made == len(samples) == 6
    for sample, photo in zip(samples, found, strict=True):
        np.testing.assert_array_equal(sample.image, read_photo(photo.path))
        height, width = sample.label_map.shape
        outside = height * width - min(height, width) ** 2 if fit == "crop" else 0
        assert (sample.label_map == 255).sum() == outside
        assert set(np.unique(sample.label_map)) <= {0, 1, 2, 255}
        assert sample.metadata["source"] == photo.name
        assert set(sample.metadata["presence"]) == {"dog", "car"}
        assert sample.soft is not None
        assert sample.soft.shape == (2, height, width)
    assert (tmp_path / "out" / "images" / "000001.jpg").read_bytes() == (photos / "1.jpg").read_bytes()
    assert "drew" not in (tmp_path / "out" / "preview.html").read_text("utf-8")
    assert "enerated" not in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_photographs_are_seen_in_their_own_shape(tmp_path, photos, mini_folder):
    """Attention is of the photograph's shape, in what is kept and in the steps that the preview draws."""
    found = find_photos([photos]).photos
    mask_photos(config(mini_folder, keep_attention=True), found, tmp_path / "out")
    shapes = [
        AttentionMaps.load(tmp_path / "out" / f"attention/{index:06d}.safetensors").latent_size for index in range(6)
    ]
    # of 96×128, 128×96, 100², 60×150, 33×47 and 96×128
    assert shapes == [(12, 16), (16, 12), (16, 16), (8, 20), (12, 20), (12, 16)]
    traced = load_trace(tmp_path / "out" / "steps/000000_1.safetensors")
    assert traced.image.shape == (48, 64, 3)
    assert {values.shape for _, values in traced.steps} == {(3, 4), (6, 8), (12, 16)}


def test_absent_classes_get_no_mask(tmp_path, photos, mini_folder):
    found = find_photos([photos]).photos
    mask_photos(config(mini_folder, presence=1.0), found, tmp_path / "out")
    for sample in store.read_dataset(tmp_path / "out"):
        assert sample.metadata["classes"] == []
        assert sample.metadata["asked"] == ["dog", "car"]
        assert sample.metadata["flags"] == ["no_class"]
        assert not sample.label_map.any()


def test_every_photograph_is_encoded_once(tmp_path, photos, mini_folder, monkeypatch):
    """Presence and as many sentences as there are classes look at the same latents; a photograph without classes needs
    none.
    """
    import seediff.attention.photograph

    encoded = []
    real = seediff.attention.photograph.encode_images

    def counting(model, images):
        encoded.extend(image.tobytes() for image in images)
        return real(model, images)

    monkeypatch.setattr(seediff.attention.photograph, "encode_images", counting)
    classes = tuple("aeroplane bicycle bird boat bottle bus car cat chair cow dog horse motorbike person".split())
    found = find_photos([photos]).photos
    classes_of = {found[1].name: ()}
    mask_photos(config(mini_folder, classes=classes), found, tmp_path / "out", classes_of=classes_of)
    assert len(encoded) == len(set(encoded)) == len(found) - 1
    rows = {row["source"]: len(row["asked"]) for row in native.read_rows(tmp_path / "out")}
    assert rows == {photo.name: 0 if photo.name in classes_of else len(classes) for photo in found}


def test_each_photograph_its_own_classes(tmp_path, photos, mini_folder, capsys):
    table = tmp_path / "classes.csv"
    table.write_text('file,classes\n0.png,dog\n1,"car,dog"\ntrip/last.png,cat\n2.png,\n', encoding="utf-8")
    line = (f"mask {photos} --model {mini_folder} --presence 0 --timesteps 100 --out {tmp_path / 'out'}").split()
    assert main([*line, "--classes", str(table)]) == 0
    rows = {row["source"]: row["asked"] for row in native.read_rows(tmp_path / "out")}
    every = ["dog", "car", "cat"]
    assert rows == {"0": ["dog"], "1": ["car", "dog"], "2": [], "3": every, "4": every, "trip/last": ["cat"]}
    assert native.read_classes(tmp_path / "out") == ("dog", "car", "cat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,classes\nnowhere.png,dog\n", "line 2: file 'nowhere.png' is the name of 0 photographs"),
        ("file,classes\n0.png,dog\n0.png,cat\n", "line 3: file '0.png' is there twice"),
    ],
)
def test_bad_tables_are_told_by_line(tmp_path, photos, text, message):
    table = tmp_path / "classes.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_classes_csv(table, find_photos([photos]).photos)


def test_degenerate_is_about_the_whole_photograph(mini_folder):
    """A class that fills the middle square of a wide photograph has a quarter of it; 3 % of the square are less than 1
    %.
    """
    job = MaskJob(config(mini_folder, fit="crop"), ())
    soft = torch.ones(2, 8, 8)
    soft[1] = 0
    soft[1, 0, :2], soft[0, 0, :2] = 1, 0
    small = MaskResult(np.ones((8, 8), np.uint8), soft, ("dog", "cat"), ("degenerate:dog", "no_seeds:dog"))
    assert job.enlarged(small, (8, 32)).flags == ("no_seeds:dog", "degenerate:cat")


def test_interrupted_and_continued_gives_the_same_bytes(tmp_path, photos, mini_folder, monkeypatch):
    found, chosen = find_photos([photos]).photos, config(mini_folder)
    check_interrupted(lambda out: mask_photos(chosen, found, out), tmp_path, monkeypatch, (5,))
    with pytest.raises(UserError, match="presence"):
        mask_photos(replace(chosen, presence=0.9), found, tmp_path / "whole")


def test_dry_run_on_new_unfinished_and_complete_folders(tmp_path, photos, mini_folder, capsys, monkeypatch):
    out = tmp_path / "out"
    table = tmp_path / "classes.csv"
    table.write_text("file,classes\n0.png,dog\n1,car\n", encoding="utf-8")
    line = f"mask {photos} --classes {table} --model {mini_folder} --timesteps 100 --out {out}".split()
    line += ["--batch-size", "2", "--quiet"]
    assert main([*line, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Would make: masks of 6 photographs")
    size = "; of these self-attention at L, L/2, L/4, cross-attention at L/4 of 16×16; maps of 284.5 kB an image"
    assert f"10 layers of cross-attention{size}, nearly as much in other shapes\n" in said
    assert main([*line, "--dry-run", "--fit", "resize", "--size", "96x64"]) == 0
    assert "cross-attention at L/4 of 24×16; maps of " in capsys.readouterr().out
    assert not out.exists()
    real = MaskJob.capture

    def second_fails(self, batch):
        if batch[0].index:
            raise UserError("stopped")
        return real(self, batch)

    monkeypatch.setattr(MaskJob, "capture", second_fails)
    assert main(line) == 2
    monkeypatch.undo()
    before = contents(out)
    capsys.readouterr()
    assert main([*line, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("Would continue: masks of 6 photographs")
    assert contents(out) == before
    assert main(line) == 0
    assert main([*line, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("complete already, nothing would be done: ")
    table.write_text("file,classes\n0.png,car\n1,dog\n", encoding="utf-8")
    assert main([*line, "--dry-run"]) == 2
    assert "another configuration" in capsys.readouterr().err


BAD = [
    (["--classes", "zebra"], "zebra"),
    (["--classes", "dog", "--timesteps", "50,50"], "--timesteps: (50, 50): each may occur only once"),
    (["--classes", "dog", "--size", "2048"], "attention grows with the fourth power"),
    (["--classes", "dog", "--size", "64x48"], "--size: 64x48: width x height needs fit resize,"),
    (["--classes", "{in}/empty.csv"], "empty.csv: gives no photograph a class"),
    (["--classes", "dog", "--seed-level", "64"], "--seed-level: 64: the model has no"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_answered_in_one_line(tmp_path, mini_folder, capsys, line, message):
    Image.fromarray(scene_photo(0)).save(tmp_path / "a.png")
    (tmp_path / "empty.csv").write_text("file,classes\na.png,\n", encoding="utf-8")
    line = [part.replace("{in}", str(tmp_path)) for part in line]
    line = [str(tmp_path / "a.png"), *line, "--model", str(mini_folder)]
    assert main(["mask", *line, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("fit", "mask"), [("keep", {}), ("crop", {"method": "ca"})])
def test_objects_of_photographs(tmp_path, mini_folder, fit, mask):
    found = find_photos([write_photos(tmp_path / "in", 2)]).photos
    how = {"presence": 0.0, "timesteps": (100,), "model": str(mini_folder), "device": "cpu", "threads": 1, "fit": fit}
    chosen = MaskPhotosConfig.recommended(classes=("dog",), objects=True, mask=mask, batch_size=2, **how)
    mask_photos(chosen, found, tmp_path / "out")
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
