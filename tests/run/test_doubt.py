"""What is said of pictures that the embedded model did not draw, and of classes that a drawing does not show."""

from dataclasses import replace

import numpy as np
import torch
from items import noise_pixels, rows_of, write_rows
from PIL import Image
from refusals import refused

from seediff.attention.maps import AttentionMaps
from seediff.cli.main import main
from seediff.config.generate_config import GenerateConfig
from seediff.config.method_constants import MaskConfig
from seediff.dataset.sample import Sample
from seediff.dataset.writing import save_native
from seediff.files.outputs import CONFIG
from seediff.models.facts import facts_of_model
from seediff.models.locate import EMBEDDED
from seediff.prompts.specs import SampleSpec
from seediff.run.generate_job import GenerateJob
from seediff.run.job import Ready
from seediff.run.photos import are_drawings


def with_settings(model, **values):
    return replace(model, info=replace(model.info, settings=replace(model.info.settings, **values)))


DOUBT = "odel 'mini' is for its own drawings"


def set_of(folder, *, model="mini", command="generate"):
    """A set with two pictures, which its rows or its configuration say were drawn by a model."""
    labels = np.ones((64, 64), np.uint8)
    pixels = noise_pixels(64, 64)
    samples = [Sample(pixels, labels, name=f"{i}", row={"model": model, "seed": i}) for i in range(2)]
    save_native(folder, ("dog",), samples, about={"command": command})
    return folder


def test_whose_drawings_pictures_are_is_what_their_set_says(tmp_path, monkeypatch):
    def drawn(folder, label="mini"):
        return are_drawings(sorted((folder / "images").iterdir()), label)

    pets = set_of(tmp_path / "pets")
    assert (drawn(pets), drawn(pets, "mini-dit"), drawn(pets, "sd1.5")) == (True, True, False)
    assert not drawn(set_of(tmp_path / "real", model="sd1.5"))
    assert not are_drawings([*(pets / "images").iterdir(), tmp_path / "photo.png"], "mini")
    rows = rows_of(pets)
    write_rows(pets, [{**row, "seed": 1} for row in rows[:1]])
    assert not drawn(pets)  # a picture that somebody put there
    write_rows(pets, [{k: v for k, v in row.items() if k != "seed"} for row in rows])
    assert not drawn(pets)  # `mask` made these rows
    (pets / CONFIG).write_text('command = "generate"\nmodel = "mini"\nseed = 0\n')
    assert drawn(pets)
    monkeypatch.chdir(pets)
    assert not are_drawings([tmp_path / "photo.png"], "mini")  # of no set, whatever the current folder is
    (pets / CONFIG).write_text('command = "mask"\nmodel = "mini"\nseed = 0\n')
    assert not drawn(pets)


def test_photographs_need_a_named_model_and_mini_says_what_it_is_for(tmp_path, capsys, monkeypatch, mini_folder):
    monkeypatch.setitem(EMBEDDED, "mini", mini_folder)
    texture = noise_pixels(96, 128)
    (tmp_path / "photos").mkdir()
    Image.fromarray(texture).save(tmp_path / "photos" / "a.png")
    line = f"{tmp_path}/photos --device cpu --out".split()
    mask = ["mask", *line, str(tmp_path / "masked"), *"--classes dog --timesteps 100 --presence 0".split()]
    for given in (mask, ["segment", *line, str(tmp_path / "segments")]):
        said = "photographs need a real model, such as --model sd1.5, the smallest (a download of 2.1 GB for a GPU"
        assert said in refused(capsys, *given)

    assert main([*mask, "--model", "mini"]) == 0
    assert f"seediff: m{DOUBT}" in capsys.readouterr().err
    assert rows_of(tmp_path / "masked")[0]["flags"] == ["degenerate:dog"]  # of the narrow model, and no other
    assert "is for its own drawings" in (tmp_path / "masked" / "preview.html").read_text("utf-8")

    assert main(mask) == 0  # the folder names the model
    assert f"M{DOUBT}" in capsys.readouterr().out
    drawn = set_of(tmp_path / "pets") / "images"
    assert main(["segment", str(drawn), "--model", "mini", "--dry-run", "--out", str(tmp_path / "parts")]) == 0
    assert "is for its own drawings" not in capsys.readouterr().out


def test_a_class_with_the_even_map_of_a_word_without_a_place_is_missing(mini_model):
    mask = MaskConfig(method="ca", expand_levels=(4,), pamr=False)
    job = GenerateJob(GenerateConfig(classes=("dog", "cat"), classes_per_image=2, mask=mask))
    model = with_settings(mini_model, own_contrast=0.44)
    ready = Ready(model=model, plan=job.plan(facts_of_model(model)))
    cross = torch.full((16, 5), 0.1)
    cross[:3, 1] = 1.0  # the dog has a place
    cross[:, 3] += torch.linspace(0, 0.02, 16)
    maps = AttentionMaps({}, {(4, 4): cross}, (16, 16), {"dog": (1,), "cat": (3,)})
    image = np.zeros((128, 128, 3), np.uint8)
    spec = SampleSpec(0, ("dog", "cat"), "a dog and a cat", 0)
    assert [flag for flag in job.masks(ready, spec, image, maps).flags if "missing" in flag] == ["missing:cat"]
    assert not job.missing(ready, replace(spec, classes=("cat",)), maps)  # alone, it is what the picture is of
