import json
from pathlib import Path

import pytest

from seediff.errors import UserError
from seediff.presets import model_preset
from seediff.run_config import GenerateConfig

PRESET = {
    "steps": 20,
    "guidance_scale": 4.0,
    "method": "ca_sa",
    "methods": {
        "ca_sa": {"mask": {"beta": 0.4, "tau": 1, "expand_levels": [2, 1]}, "capture": {"layers": "up"}},
        "ca": {"mask": {"beta": 0.5}},
    },
}


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": PRESET}))
    return str(tmp_path)


def test_the_models_own_constants_apply_where_none_are_given(model: str):
    config = GenerateConfig.recommended(classes=("dog",), model=model)
    assert (config.steps, config.guidance_scale) == (20, 4.0)
    assert (config.mask.method, config.mask.beta, config.mask.tau, config.mask.expand_levels) == ("ca_sa", 0.4, 1, (2, 1))
    assert config.capture.layers == "up"
    config = GenerateConfig.recommended(classes=("dog",), model=model, steps=7, mask={"beta": 0.2})
    assert (config.steps, config.mask.beta, config.mask.tau) == (7, 0.2, 1)


def test_another_method_takes_its_own_constants_or_the_papers(model: str):
    ca = GenerateConfig.recommended(classes=("dog",), model=model, mask={"method": "ca"})
    assert (ca.mask.method, ca.mask.beta, ca.capture.layers) == ("ca", 0.5, "all")
    seediff = GenerateConfig.recommended(classes=("dog",), model=model, mask={"method": "seediff"})
    assert seediff.mask == GenerateConfig(classes=("dog",)).mask


def test_models_without_constants_have_the_papers(tmp_path: Path):
    assert model_preset(str(tmp_path)) == {}
    assert model_preset("owner/name") == {}
    assert model_preset("no-such-folder") == {}


def test_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "seediff.json").write_text("[1]")
    with pytest.raises(UserError, match=r"seediff\.json"):
        model_preset(str(tmp_path))
