import json
from dataclasses import replace
from pathlib import Path

import pytest

from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate import GenerateConfig, merge_config, own_capture_steps
from seediff.config.photographs import MaskPhotosConfig
from seediff.config.presets import model_preset, segment_preset
from seediff.config.recommended import recommended_mask
from seediff.errors import UserError

PRESET = {
    "steps": 20,
    "guidance_scale": 4.0,
    "capture_steps": "second-half",
    "method": "ca_sa",
    "note": "best on the tuning scenes",
    "methods": {
        "ca_sa": {"mask": {"beta": 0.4, "tau": 1, "expand_levels": [2, 1], "pamr_dilations": [1, 2]}, "capture": {"layers": "up"}},
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
    assert config.capture == CaptureConfig(layers="up", steps="second-half")
    config = GenerateConfig.recommended(classes=("dog",), model=model, steps=7, mask={"beta": 0.2})
    assert (config.steps, config.mask.beta, config.mask.tau) == (7, 0.2, 1)


def test_steps_of_capture_are_those_of_drawing_alone(model: str):
    assert MaskPhotosConfig.recommended(classes=("dog",), model=model).capture == CaptureConfig(layers="up")
    assert GenerateConfig.recommended(classes=("dog",), model=model, capture={"steps": 3}).capture.steps == 3
    assert GenerateConfig.recommended(classes=("dog",), model=model, mask={"method": "ca"}).capture.steps == "second-half"
    assert merge_config(GenerateConfig, {"classes": ("dog",), "model": model}, preset=False).capture.steps == "all"


def test_a_methods_own_steps_of_capture_go_before_the_models(tmp_path: Path):
    own = {**PRESET, "methods": {"ca": {"capture": {"steps": 2}}}}
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": own}))
    of = {m: GenerateConfig.recommended(classes=("dog",), model=str(tmp_path), mask={"method": m}) for m in ("ca", "reference")}
    assert of["ca"].capture.steps == 2
    assert of["reference"].capture == CaptureConfig(normalize=False, layers="up")  # as the authors' program: all steps


def test_the_embedded_model_captures_the_second_half_where_it_draws():
    assert GenerateConfig.recommended(classes=("dog",)).capture == CaptureConfig(layers="up", steps="second-half")
    assert MaskPhotosConfig.recommended(classes=("dog",)).capture == CaptureConfig(layers="up")
    assert recommended_mask("mini").capture == CaptureConfig(layers="up")
    assert own_capture_steps("mini") == "second-half"
    assert own_capture_steps("sd2-base") == "all"


@pytest.mark.parametrize("preset", [True, False])
@pytest.mark.parametrize("steps", ["all", "second-half", 3])
def test_over_a_datasets_configuration_another_method_keeps_the_steps_of_capture(model: str, tmp_path: Path, steps, preset: bool):
    file = toml_of(GenerateConfig.recommended(classes=("dog",), model=model, capture={"steps": steps}), tmp_path)
    assert merge_config(GenerateConfig, {"mask": {"method": "ca"}}, file, preset=preset).capture.steps == steps
    other = merge_config(GenerateConfig, {"model": "owner/name"}, file, preset=preset)
    assert other.capture.steps == (3 if steps == 3 else "all")  # chosen by hand, or the one model's own
    photographs = MaskPhotosConfig.recommended(classes=("dog",), model=model, capture={"steps": steps})
    (tmp_path / "photographs.toml").write_text(photographs.to_toml(), encoding="utf-8")
    assert merge_config(MaskPhotosConfig, {"mask": {"method": "ca"}}, tmp_path / "photographs.toml").capture.steps == steps


def test_another_method_takes_its_own_constants_or_the_papers(model: str):
    ca = GenerateConfig.recommended(classes=("dog",), model=model, mask={"method": "ca"})
    assert (ca.mask.method, ca.mask.beta, ca.capture.layers) == ("ca", 0.5, "all")
    seediff = GenerateConfig.recommended(classes=("dog",), model=model, mask={"method": "seediff"})
    assert seediff.mask == GenerateConfig(classes=("dog",)).mask


def test_whole_configurations_and_wrong_ones(model: str):
    given = MaskConfig(method="ca", alpha=0.2)
    config = GenerateConfig.recommended(classes=("dog",), model=model, mask=given, capture=CaptureConfig(steps=3))
    assert (config.mask, config.capture, config.steps) == (given, CaptureConfig(steps=3), 20)
    with pytest.raises(UserError, match="mask must be a MaskConfig or a table of its fields, not 3"):
        GenerateConfig.recommended(classes=("dog",), model=model, mask=3)
    with pytest.raises(UserError, match="capture: there is no option 'layer'; options here: normalize, steps, layers"):
        GenerateConfig.recommended(classes=("dog",), model=model, capture={"layer": "up"})


def toml_of(config: GenerateConfig, folder: Path) -> Path:
    (folder / "seediff.toml").write_text(config.to_toml(), encoding="utf-8")
    return folder / "seediff.toml"


def test_a_datasets_configuration_makes_the_same_dataset(model: str, tmp_path: Path):
    for config in (
        GenerateConfig.recommended(classes=("dog",), model=model),
        GenerateConfig(classes=("dog",), model=model),  # as --preset paper: pamr_dilations and others unset, which TOML cannot say
        GenerateConfig.recommended(classes=("dog",), model=model, mask={"method": "ca"}),
    ):
        assert merge_config(GenerateConfig, {}, toml_of(config, tmp_path)) == config
        assert merge_config(GenerateConfig, {"seed": 3, "mask": {"method": config.mask.method}}, tmp_path / "seediff.toml") == replace(
            config, seed=3
        )


def test_over_a_datasets_configuration_another_method_brings_its_own_constants(model: str, tmp_path: Path):
    tuned = GenerateConfig.recommended(classes=("dog",), model=model, mask={"alpha": 0.2}, steps=9)
    file = toml_of(tuned, tmp_path)
    ca = merge_config(GenerateConfig, {"mask": {"method": "ca"}}, file)
    assert ca.mask == MaskConfig(method="ca", alpha=0.2, beta=0.5)  # what was chosen by hand stays
    assert (ca.capture.layers, ca.steps, ca.guidance_scale) == ("all", 9, 4.0)
    paper = merge_config(GenerateConfig, {"mask": {"method": "ca"}}, file, preset=False)
    assert paper.mask == MaskConfig(method="ca", alpha=0.2)


def test_over_a_datasets_configuration_another_model_brings_its_own_constants(model: str, tmp_path: Path):
    file = toml_of(GenerateConfig.recommended(classes=("dog",), model=model), tmp_path)
    other = merge_config(GenerateConfig, {"model": "owner/name"}, file)
    assert other == GenerateConfig(classes=("dog",), model="owner/name", mask=MaskConfig(method="ca_sa"))
    file = toml_of(GenerateConfig(classes=("dog",), model="owner/name", mask=MaskConfig(method="ca_sa")), tmp_path)
    assert merge_config(GenerateConfig, {"model": model}, file) == GenerateConfig.recommended(classes=("dog",), model=model)


def test_a_file_written_by_hand_goes_before_the_preset(model: str, tmp_path: Path):
    (tmp_path / "c.toml").write_text(f'classes = "dog"\nmodel = "{model}"\n[mask]\nbeta = 0.1\n')
    config = merge_config(GenerateConfig, {}, tmp_path / "c.toml")
    assert (config.mask.method, config.mask.beta, config.mask.tau, config.steps) == ("ca_sa", 0.1, 1, 20)


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ({"step": 20}, r"seediff\.json \[preset\]: there is no option 'step'"),
        ({"steps": "many"}, 'steps = "many" must be a whole number'),
        ({"method": "magic"}, "method = \"magic\" must be 'seediff' or"),
        ({"capture_steps": 0}, r"seediff\.json \[preset\]: capture_steps = 0: every k-th step needs k ≥ 1"),
        ({"capture_steps": "last"}, 'capture_steps = "last" must be'),
        ({"methods": {"ca": {"mask": {"bet": 1}}}}, r"\[preset\.methods\.ca\] \[mask\]: there is no option 'bet'"),
        ({"methods": {"ca": {"masks": {}}}}, r"\[preset\.methods\.ca\]: there is no option 'masks'"),
        ({"methods": {"ca": {"mask": {"beta": 7}}}}, r"\[preset\.methods\.ca\]: beta = 7\.0 must be in"),
        ({"methods": {"ca": []}}, "must be an object"),
        ({"methods": 3}, r"\[preset\.methods\]: must be an object"),
    ],
)
def test_constants_are_checked(tmp_path: Path, preset, message):
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": preset}))
    with pytest.raises(UserError, match=message):
        model_preset(str(tmp_path), "ca")


def test_models_without_constants_have_the_papers(tmp_path: Path):
    assert model_preset(str(tmp_path)) == {}
    assert model_preset("owner/name") == {}
    assert model_preset("no-such-folder") == {}


def test_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "seediff.json").write_text("[1]")
    with pytest.raises(UserError, match=r"seediff\.json"):
        model_preset(str(tmp_path))


def test_constants_for_segments(tmp_path: Path):
    table = {"segments": {"diffseg": {"kl_threshold": 0.5, "weights": [0.0, 1.0]}}}
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": table}))
    assert segment_preset(str(tmp_path)) == {"segment": {"kl_threshold": 0.5, "weights": (0.0, 1.0)}}
    assert segment_preset(str(tmp_path), "diffcut") == {"segment": {}}
    assert segment_preset("owner/name") == {}
    assert model_preset(str(tmp_path)) == {"mask": {}, "capture": {}}
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": {"segments": {"diffseg": {"tau": 1}}}}))
    with pytest.raises(UserError, match=r"\[preset\.segments\.diffseg\]: there is no option 'tau'"):
        segment_preset(str(tmp_path))
