import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted import contents
from items import rows_of
from photo_set import write_photos
from PIL import Image
from refusals import refused
from shapes import CLASSES, items, scene, small

import seediff
from seediff.cli.main import main
from seediff.dataset.dataset import Dataset
from seediff.dataset.writing import save_native
from seediff.evaluate.evaluation import evaluate
from seediff.evaluate.page import warnings
from seediff.train.predict import likeliest, load_segmenter
from seediff.train.record import CHECKPOINT
from seediff.train.run import train
from seediff.train.stages import Stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "segmenter"
    train(small(), [Stage(items(4), CLASSES, steps=2)], out, workers=0)
    return out


def test_any_size_and_order(folder):
    segmenter = load_segmenter(folder, "cpu")
    images = [scene(0)[0], scene(1, 70)[0][:, :50], scene(2)[0], scene(3, 40)[0]]
    found = segmenter.label_maps(images)
    assert [one.shape for one in found] == [image.shape[:2] for image in images]
    for image, one in zip(images, found, strict=True):
        assert np.mean(segmenter.label_maps([image])[0] == one) > 0.99  # batches round otherwise


def test_flip_is_symmetric(folder):
    segmenter = load_segmenter(folder, "cpu")
    image = scene(4, 70)[0][:, :52]
    one = segmenter.label_maps([image], flip=True, scales=(0.75, 1.0))[0]
    other = segmenter.label_maps([np.ascontiguousarray(image[:, ::-1])], flip=True, scales=(0.75, 1.0))[0]
    assert np.mean(one == other[:, ::-1]) > 0.98  # resizing is not quite symmetric


def test_images(folder, tmp_path, capsys):
    for number, side in enumerate((64, 80)):
        (tmp_path / "photos" / "trip").mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(number, side)[0]).save(tmp_path / "photos" / ("trip" if number else "") / f"{number}.png")
    out = tmp_path / "out"
    assert main(f"predict {folder} {tmp_path}/photos --out {out}".split()) == 0
    first, second = Dataset.open(out).samples
    assert (first.name, second.name) == ("0", "trip/1")
    np.testing.assert_array_equal(first.image, scene(0)[0])
    assert np.array_equal(first.label_map, load_segmenter(folder, "cpu").label_maps([scene(0)[0]])[0])
    capsys.readouterr()
    assert main(f"predict {folder} {tmp_path}/photos --out {out}".split()) == 0
    assert "2 images in" in capsys.readouterr().out
    assert "another configuration (flip: false → true" in refused(
        capsys, f"predict {folder} {tmp_path}/photos --out {out} --flip"
    )
    assert "none: no such folder\n" in refused(capsys, f"predict {tmp_path}/none {tmp_path}/photos --out {out}2")


def test_a_stopped_run_continues_with_the_same_bytes(folder, tmp_path):
    photos = write_photos(tmp_path / "photos", 3)
    seediff.predict(folder, [photos], tmp_path / "whole", batch_size=2, device="cpu", threads=1)
    out = Path(shutil.copytree(tmp_path / "whole", tmp_path / "out"))
    for name in (".batches/000001.json", "preview.html", "masks/2.png"):
        (out / name).unlink()
    assert seediff.predict(folder, [photos], out, batch_size=2, device="cpu", threads=1).done == 2
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize(("most", "said"), [(64, "1 of 2 images: 64"), (80, "2 of 2 images: 64, 80")])
def test_pictures_without_any_class_are_named(folder, tmp_path, capsys, monkeypatch, most, said):
    """And nothing is to be trained on or exported when none of them has a class."""
    (tmp_path / "photos").mkdir()
    for side in (64, 80):
        Image.fromarray(scene(0, side)[0]).save(tmp_path / "photos" / f"{side}.png")
    monkeypatch.setattr(
        "seediff.train.predict.Segmenter.label_maps",
        lambda self, images, **_: [np.full(image.shape[:2], len(image) > most, np.uint8) for image in images],
    )
    assert main(f"predict {folder} {tmp_path}/photos --out {tmp_path}/out".split()) == 0
    out = capsys.readouterr().out
    assert f"note: no class was found in {said}\n" in out
    assert "# correct the masks" in out
    assert (" train " in out, " export " in out) == (most == 64, most == 64)


def test_bad_images_do_not_stop_the_others(folder, tmp_path, capsys):
    whole, photos, out = items(1)[0].image_file, tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, size in (("a", len(whole) // 2), ("b", len(whole)), ("c", 9)):
        (photos / f"{name}.png").write_bytes(whole[:size])
    line = refused(capsys, f"predict {folder} {photos} --out {out} --batch-size 1 --quiet")
    assert line.startswith("seediff: 2 of 3 images could not be used (a.png: cannot be read")
    assert line.endswith(f" and 1 more); the list is in {out}/failed.jsonl\n")
    assert [row["photo"] for row in rows_of(out, "failed.jsonl")] == ["a.png", "c.png"]
    assert [sample.name for sample in Dataset.open(out)] == ["b"]


def test_evaluate_counts_what_was_trained_on_whatever_its_name(folder):
    """The folder was trained on the first four."""
    data = [sample.replace(name=f"other{i}") for i, sample in enumerate(items(6))]
    for samples, line in (
        (data, f"{folder} was trained on 4 of the 6 images, so its scores are too high."),
        (data[4:], None),
    ):
        found = evaluate(folder, Dataset(CLASSES, samples), draws=2, boundary=False)
        assert warnings(found) == [line] * bool(line)


def test_predictions_remember_what_their_segmenter_was_trained_on(folder, tmp_path):
    """The folder was trained on the first four. Copies of the predictions remember it, too, until somebody corrects a
    mask."""
    save_native(tmp_path / "data", CLASSES, items(6), about={})
    predicted = tmp_path / "predicted"
    assert main(f"predict {folder} {tmp_path}/data/images --out {predicted} --quiet".split()) == 0
    assert [row.get("trained_on") for row in rows_of(predicted)] == [True] * 4 + [None] * 2
    Dataset.open(predicted).filter().save(tmp_path / "copy")
    for one in (predicted, tmp_path / "copy"):
        said = warnings(evaluate(one, tmp_path / "data", draws=2, boundary=False))
        assert said == [f"{one} was trained on 4 of the 6 images, so its scores are too high."]
    assert Dataset.open(predicted)[0].row.of_other_mask().trained_on is None


@pytest.mark.parametrize("files", [["losses.csv"], [CHECKPOINT, "losses.csv"]])
def test_an_unfinished_training(folder, tmp_path, capsys, files):
    save_native(tmp_path / "data", CLASSES, items(2), about={})
    for name in files:
        (tmp_path / name).write_bytes((folder / "losses.csv").read_bytes())
    fix = "run the same `seediff train` command to continue it"
    problem = f"seediff: {tmp_path}: its training is not finished; {fix}\n"
    assert refused(capsys, f"evaluate {tmp_path} --data {tmp_path}/data") == problem
    assert refused(capsys, f"predict {tmp_path} {tmp_path}/data/images --out {tmp_path}/out") == problem
    for name in ("config.json", "model.safetensors"):  # the best network until now
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    said = (
        "the best until now of a training that is not finished" in evaluate(tmp_path, tmp_path / "data").predictor.about
    )
    assert said == (CHECKPOINT in files)


@pytest.mark.parametrize("size", [(70, 101), (9, 40), (16, 24)])
def test_the_likeliest_class_is_that_of_all_scores_enlarged(size):
    generator = torch.Generator().manual_seed(0)
    views = [torch.rand(4, 16, 24, generator=generator), torch.rand(4, 31, 47, generator=generator)]
    whole = sum(torch.nn.functional.interpolate(view[None], size, mode="bilinear")[0] for view in views)
    best, second = whole.topk(2, 0).values
    found = likeliest(views, *size)
    assert found.dtype == torch.uint8
    assert torch.equal(found[best - second > 1e-5], whole.argmax(0).to(torch.uint8)[best - second > 1e-5])
