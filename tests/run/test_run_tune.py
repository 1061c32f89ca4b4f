import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import save_voc
from photo_set import scene_photo, write_photos
from PIL import Image

from seediff.cli.main import main
from seediff.config.runs import MaskPhotosConfig
from seediff.dataset.dataset import Dataset
from seediff.evaluate.evaluation import evaluate
from seediff.files.reading import read_toml
from seediff.metrics.scores import class_iou
from seediff.models.describe import Preset, describe_model, preset_toml, read_preset
from seediff.run.tune import BETAS, count_at_betas, count_pixels, load_masker, read_labelled, strongest, tune_names


@pytest.fixture
def labelled(tmp_path):
    """Pascal VOC's layout: two photographs with a disc that is a dog or a car, one that shows nothing."""
    truths = np.zeros((3, 96, 128), np.uint8)
    for number in range(2):
        truths[number, 30:70, 30:80] = 1 + number % 2
    root = save_voc(tmp_path / "set", {str(number): truth for number, truth in enumerate(truths)})
    (root / "JPEGImages").mkdir()
    for number in range(3):
        Image.fromarray(scene_photo(number)).save(root / "JPEGImages" / f"{number}.jpg")
    (root / "classes.txt").write_text("background\ndog\ncar\nunicorn\n")
    return root


@pytest.fixture
def bare(mini_folder, tmp_path):
    """A model without thresholds, that says nothing of what it knows."""
    folder = Path(shutil.copytree(mini_folder, tmp_path / "bare"))
    (folder / "seediff.json").unlink()
    return folder


def test_a_file_of_thresholds_for_mask_and_segment(labelled, bare, tmp_path, capsys):
    out = tmp_path / "own.toml"
    line = f"tune {labelled} --model {bare} --classes dog,car --device cpu --out {out}".split()
    assert main(line) == 0
    said = capsys.readouterr().out
    tuned = read_preset(out)
    assert (tuned.model, tuned.method) == (str(bare), "seediff")
    beta = tuned.methods["seediff"]["mask"]["beta"]
    found = {"presence": tuned.presence, "name_threshold": tuned.name_threshold, "beta": beta}
    values = (f"{name} = {value}" for name, value in found.items())
    assert [part for part in (*values, f"--preset {out}") if part not in said] == []
    first = out.read_bytes()
    assert main([*line, "--quiet"]) == 2
    assert out.read_bytes() == first

    photos = write_photos(tmp_path / "photos", 2)
    for command, key in (("mask --classes dog --timesteps 100", "presence"), ("segment --names dog", "name_threshold")):
        name, *rest = command.split()
        made = tmp_path / name
        assert main([name, str(photos), *rest, "--preset", str(out), "--out", str(made)]) == 0
        settings = read_toml(made / "seediff.toml")
        assert (settings[key], settings["model"]) == (getattr(tuned, key), str(bare))
        assert name == "segment" or settings["mask"]["beta"] == beta


def test_thresholds_that_nobody_tuned_are_told(bare, tmp_path, capsys):
    photos, out = str(write_photos(tmp_path / "photos", 1)), str(tmp_path / "out")
    other = tmp_path / "other.toml"
    other.write_text(preset_toml(Preset(model="another/model", presence=0.7, name_threshold=0.6)))
    mask = f"mask {photos} --classes dog --out {out} --dry-run --model".split()
    segment = f"segment {photos} --names dog --out {out} --dry-run --model".split()

    def told(*line):
        capsys.readouterr()
        assert main(list(line)) == 0
        return capsys.readouterr().err

    for line, name in ((mask, "presence"), (segment, "name_threshold")):
        option = "--" + name.replace("_", "-")
        said = told(*line, str(bare))
        assert said.startswith(f"seediff: {name} 0.")
        assert f"was tuned for another model, not for '{bare}': choose one with {option}" in said
        assert told(*line, str(bare), option, "0.5") == ""
    assert "was tuned for 'another/model', not" in told(*mask, str(bare), "--preset", str(other))
    other.write_text(preset_toml(Preset(model=str(bare), presence=MaskPhotosConfig.presence)))  # tuned: as by default
    assert told(*mask, str(bare), "--preset", str(other)) == ""
    assert told(*mask, "mini", "--quiet") == told(*segment, "mini") == ""
    assert told("segment", photos, "--out", out, "--dry-run", "--model", str(bare)) == ""  # nothing is named


def test_the_best_name_threshold_by_trying_all():
    rng = np.random.default_rng(0)
    names = [(bool(right), float(0.55 + 0.05 * right + rng.normal(0, 0.03))) for right in rng.integers(0, 2, 200)]
    grid = np.round(np.arange(0.5, 0.9, 0.002), 3)
    done = [sum(right == (score >= limit) for right, score in names) for limit in grid]
    assert tune_names(names)[0] == grid[int(np.argmax(done))]


def plain_counts(soft, ids, truth, num_classes, background):
    """The definition, pixel by pixel in float64."""
    counts = np.zeros((len(BETAS), 3, num_classes), np.int64)
    for k, beta in enumerate(BETAS):
        for at, exact in np.ndenumerate(truth):
            if exact == 255:
                continue
            values = [float(part[at]) for part in soft]
            best = int(np.argmax(values)) if values else None
            label = background if best is None or values[best] < beta else ids[best]
            if label == exact:
                counts[k, 0, exact] += 1
            else:
                counts[k, 2, exact] += 1
                counts[k, 1, label] += 1
    return counts


@pytest.mark.parametrize("background", [0, 2])
@pytest.mark.parametrize("maps", [0, 1, 4])
def test_counts_are_those_of_a_plain_loop(background, maps):
    rng = np.random.default_rng(maps)
    soft = rng.random((maps, 9, 7)).astype(np.float32)
    ids = [1, 3, 3, 4][:maps]  # two words of one class
    truth = rng.choice([0, 1, 2, 3, 4, 255], (9, 7)).astype(np.uint8)
    value, classes = strongest(torch.from_numpy(soft), ids, truth.shape)
    assert np.array_equal(
        count_at_betas(value, classes, truth, 5, background), plain_counts(soft, ids, truth, 5, background)
    )


def test_mask_and_evaluate_score_what_tune_counts(labelled, mini_folder, tmp_path):
    """With the classes of each photograph's truth and a β, `mask --presence 0` makes the masks that `tune` counted."""
    config = MaskPhotosConfig.recommended(
        classes=("dog", "car"), model=str(mini_folder), device="cpu", timesteps=(300,), presence=0.0, beta=0.4
    )
    masker, _ = load_masker(config, describe_model(config.model))
    truths = Dataset.open(labelled, labels_alone=True)
    photos = [read_labelled(masker, index, sample) for index, sample in enumerate(truths)]
    counts = sum(count_pixels(masker, photo, {"dog": 1, "car": 2}, 3, 0) for photo in photos)

    table = tmp_path / "classes.csv"
    table.write_text("file,classes\n0.jpg,dog\n1.jpg,car\n2.jpg,\n")
    given = f"--device cpu --timesteps 300 --presence 0 --beta 0.4 --model {mini_folder} --classes {table}"
    photos_and_out = [str(labelled / "JPEGImages"), "--out", str(tmp_path / "masked")]
    assert main(["mask", *photos_and_out, *given.split()]) == 0
    scores = evaluate(tmp_path / "masked", labelled, boundary=False, draws=2).scores
    expected = class_iou(counts[list(BETAS).index(0.4)])
    assert [scores.per_class[name].value for name in ("background", "dog", "car")] == pytest.approx(expected.tolist())
