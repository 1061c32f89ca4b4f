import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import save_voc
from photo_set import scene_photo, write_photos
from PIL import Image

from seediff.cli.main import main
from seediff.config.resolve import preset_toml, read_preset
from seediff.files.reading import read_toml
from seediff.models.describe import Preset
from seediff.run.tune import tune_names


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
    out.unlink()
    assert main([*line, "--quiet"]) == 0
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
    assert told(*mask, "mini", "--quiet") == told(*segment, "mini") == ""
    assert told("segment", photos, "--out", out, "--dry-run", "--model", str(bare)) == ""  # nothing is named


def test_the_best_name_threshold_by_trying_all():
    rng = np.random.default_rng(0)
    names = [(bool(right), float(0.55 + 0.05 * right + rng.normal(0, 0.03))) for right in rng.integers(0, 2, 200)]
    grid = np.round(np.arange(0.5, 0.9, 0.002), 3)
    done = [sum(right == (score >= limit) for right, score in names) for limit in grid]
    assert tune_names(names)[0] == grid[int(np.argmax(done))]
