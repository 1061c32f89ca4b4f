import pytest
import torch
from random_maps import random_maps
from refusals import user_error

from seediff.config.methods import METHOD_FACTS, MaskConfig, maps_read
from seediff.config.runs import MaskPhotosConfig
from seediff.masks.make_masks import label_pixels, make_masks, soft_mask
from seediff.masks.own_methods import register_file, register_method

FILE = """
from dataclasses import dataclass

CONSTANTS = {"capture": {"normalize": False}, "mask": {"beta": 0.45, "pamr": False}}

@dataclass
class Halves:
    level: int = 4

def halves(maps, name, config):
    cross = maps.cross_at(Halves().level, name)
    return cross >= cross.median()

def fails(maps, name, config):
    return {}[name]

def large(maps, name, config):
    return maps.cross_at(4, name) * 1000

def nothing(maps, name, config):
    pass
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    return tmp_path / "own.py"


def made(method):
    return make_masks(
        None, random_maps(), ["dog", "cat"], MaskConfig(method=method, beta=0.5, pamr=False), size=(32, 32)
    )


def test_a_file_is_named_by_its_bytes_and_brings_its_constants(file):
    name = register_file(f"{file}:halves")
    assert name.startswith("own.py:halves@")
    assert METHOD_FACTS[name].defaults == {"capture.normalize": False, "mask.beta": 0.45, "mask.pamr": False}
    assert torch.equal(made(name).soft, made(register_file(f"{file}:halves")).soft)
    file.write_text(FILE + "\n")
    assert register_file(f"{file}:halves") != name


STATED = {
    "guidance_scale": 7.0,
    "mask": {"beta": 0.45},
    "levels": {"cross": "seed_level", "self": [4, 2]},
    "plain_means": True,
    "last_steps": {"resize": "bicubic", "cut": 0.5, "threshold": 0.0},
    "models": {"mini": {"mask": {"beta": 0.2}, "capture": {"layers": "last"}}},
}


def test_a_method_may_state_its_levels_its_last_steps_and_what_models_need():
    register_method("stated", lambda maps, name, config: maps.cross_at(config.seed_level, name), STATED)
    config = MaskConfig(method="stated", seed_level=2)
    assert maps_read(config) == {"cross": (2,), "self": (4, 2)}
    assert config.facts.last_steps.resize == "bicubic"
    assert label_pixels(torch.zeros(1, 1, 1), config).item() == 1
    elsewhere, mini = (
        MaskPhotosConfig.recommended(classes=("dog",), model=model, mask={"method": "stated"})
        for model in ("sd1.5", "mini")
    )
    assert (elsewhere.mask.beta, elsewhere.capture.layers, elsewhere.capture.normalize) == (0.45, "all", False)
    assert (mini.mask.beta, mini.capture.layers, mini.capture.normalize) == (0.2, "last", False)
    with user_error("method stated works on plain means of attention"):
        soft_mask(random_maps(), "dog", config)


@pytest.mark.parametrize("text", ["missing.py:f", "own.py:missing", "broken.py:f"])
def test_a_file_that_is_no_method_is_refused(file, text):
    (file.parent / "broken.py").write_text("def f(:\n")
    with user_error(text.partition(":")[0]):
        register_file(str(file.parent / text))


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("fails", r"KeyError: there is no 'dog' \(own.py, line \d+\)"),
        ("large", r"returned Tensor for class 'dog'; return \(h, w\) values in \[0, 1\]"),
        ("nothing", r"nothing@\w+: returned NoneType for class 'dog'; return \(h, w\)"),
    ],
)
def test_a_function_that_fails_or_returns_no_soft_mask_is_one_line(file, function, problem):
    with user_error(problem):
        made(register_file(f"{file}:{function}"))
