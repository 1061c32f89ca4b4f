"""What is said of pictures that the embedded model did not draw, and of classes that a drawing does not show."""

from dataclasses import replace

import numpy as np
import torch
from items import noise_pixels, rows_of
from PIL import Image
from refusals import refused

from seediff.attention.maps import AttentionMaps
from seediff.cli.main import main
from seediff.config.generate_config import GenerateConfig
from seediff.config.method_constants import MaskConfig
from seediff.models.facts import facts_of_model
from seediff.models.locate import EMBEDDED
from seediff.prompts.specs import SampleSpec
from seediff.run.generate_job import GenerateJob
from seediff.run.job import Ready


def with_settings(model, **values):
    return replace(model, info=replace(model.info, settings=replace(model.info.settings, **values)))


DOUBT = "model 'mini' knows its own emoji art alone"


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
    out, err = capsys.readouterr()
    assert (out + err).count(DOUBT) == 1  # once a process
    assert rows_of(tmp_path / "masked")[0]["flags"] == ["degenerate:dog"]  # of the narrow model, and no other
    assert "knows its own emoji art alone" in (tmp_path / "masked" / "preview.html").read_text("utf-8")

    assert main(mask) == 0  # the folder names the model


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


def test_the_steps_of_a_drawing_are_reported(mini_model):
    job, said = GenerateJob(GenerateConfig(classes=("dog",), steps=2, device="cpu")), []
    ready = Ready(model=mini_model, plan=job.plan(facts_of_model(mini_model)), say=said.append)
    job.draw_batch(ready, job.items()[:1])
    assert said == ["step 1 of 2", "step 2 of 2"]
