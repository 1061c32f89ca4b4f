"""Warnings about pictures that are not the embedded model's own, and about classes that a drawing does not show."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from seediff.attention.maps import AttentionMaps
from seediff.cli.main import main
from seediff.config.constants import MaskConfig
from seediff.config.generate_config import GenerateConfig
from seediff.dataset import native
from seediff.mini.scenes import load_scenes
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec
from seediff.run.generate_job import GenerateJob
from seediff.run.photos import are_foreign


def with_settings(model, **values):
    return replace(model, info=replace(model.info, settings=replace(model.settings, **values)))


FOREIGN = "is unlike the pictures that model 'mini' was trained on"


def test_a_photo_is_not_the_embedded_models_own_and_is_told_so_once(tmp_path, capsys):
    texture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    scene = load_scenes(1)[0].image
    model = load_model("mini", device="cpu", dtype="float32")
    assert are_foreign(model, [scene, texture]) == [False, True]
    assert are_foreign(with_settings(model, own_error=None), [texture]) == [False]

    (tmp_path / "photos").mkdir()
    Image.fromarray(texture).save(tmp_path / "photos" / "a.png")
    line = f"{tmp_path}/photos --device cpu --out".split()
    mask = ["mask", *line, str(tmp_path / "masked"), "--classes", "dog", "--timesteps", "100"]
    assert main(mask) == 0
    said = capsys.readouterr()
    assert f"seediff: 1 of 1 photograph {FOREIGN}" in said.err
    assert "such as --model sd1.5 (on a GPU 2.1 GB to download" in said.err
    assert FOREIGN not in said.out
    assert "seediff look" in said.out
    assert "seediff train" not in said.out
    (row,) = native.read_rows(tmp_path / "masked")
    assert row["flags"][0] == "foreign"
    page = (tmp_path / "masked" / "preview.html").read_text("utf-8")
    assert "the model was not trained on pictures like this one" in page

    assert main(mask) == 0  # nothing to do, so that nothing was said before
    assert f"1 of 1 photograph {FOREIGN}" in capsys.readouterr().out

    assert main(["segment", *line, str(tmp_path / "segments"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    (row,) = native.read_rows(tmp_path / "segments")
    assert row["flags"] == ["foreign"]


def test_a_class_with_the_even_map_of_a_word_without_a_place_is_missing(mini_model):
    mask = MaskConfig(method="ca", expand_levels=(4,), pamr=False)
    job = GenerateJob(GenerateConfig(classes=("dog", "cat"), classes_per_image=2, mask=mask))
    job.use(with_settings(mini_model, own_contrast=0.44))
    cross = torch.full((16, 5), 0.1)
    cross[:3, 1] = 1.0  # the dog has a place
    cross[:, 3] += torch.linspace(0, 0.02, 16)
    maps = AttentionMaps({}, {(4, 4): cross}, (16, 16), {"dog": (1,), "cat": (3,)})
    image = np.zeros((128, 128, 3), np.uint8)
    spec = SampleSpec(0, ("dog", "cat"), "a dog and a cat", 0)
    assert [flag for flag in job.masks(spec, image, maps).flags if "missing" in flag] == ["missing:cat"]
    assert not job.missing(replace(spec, classes=("cat",)), maps)  # alone, it is what the picture is of
