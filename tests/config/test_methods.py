"""What a method brings along for the capture, over what it goes and behind what it stands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from random_maps import random_maps

from seediff.cli.commands import main
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate import GenerateConfig, merge_config
from seediff.config.methods import METHOD_FACTS, Method
from seediff.config.photographs import MaskPhotosConfig
from seediff.errors import UserError
from seediff.masks.methods import METHODS, soft_mask

REFERENCE = {"mask": {"method": "reference"}}
PLAIN = CaptureConfig(normalize=False, layers="up")


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A model without a preset."""
    (tmp_path / "bare").mkdir()
    return str(tmp_path / "bare")


def test_there_are_defaults_for_every_method():
    assert set(METHOD_FACTS) == set(METHODS) == set(get_args(Method))
    for method, facts in METHOD_FACTS.items():  # all of them are configurations
        table = facts.defaults
        GenerateConfig(
            classes=("dog",),
            mask=MaskConfig(method=method),
            capture=CaptureConfig(**table.get("capture", {})),
            **{name: value for name, value in table.items() if name != "capture"},
        )


@pytest.mark.parametrize("kind", [GenerateConfig, MaskPhotosConfig])
@pytest.mark.parametrize("preset", [True, False])
def test_the_reference_is_made_of_plain_means_of_the_up_layers(bare: str, kind, preset):
    config = merge_config(kind, {"classes": ("dog",), "model": bare, **REFERENCE}, preset=preset)
    assert config.capture == PLAIN
    if kind is GenerateConfig:
        assert config.guidance_scale == 7
    assert kind.recommended(classes=("dog",), model=bare, **REFERENCE).capture == PLAIN
    for method in ("seediff", "ca", "ca_sa"):
        config = merge_config(kind, {"classes": ("dog",), "model": bare, "mask": {"method": method}}, preset=preset)
        assert config.capture == CaptureConfig()
        if kind is GenerateConfig:
            assert config.guidance_scale == 7.5


def test_what_is_given_and_the_models_preset_go_before(tmp_path: Path, bare: str):
    line = {"classes": ("dog",), "model": bare, "guidance_scale": 3.0, "capture": {"layers": "all"}, **REFERENCE}
    config = merge_config(GenerateConfig, line)
    assert (config.guidance_scale, config.capture) == (3.0, CaptureConfig(normalize=False))
    own = {"guidance_scale": 5.0, "methods": {"reference": {"capture": {"layers": "down"}}}}
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": own}))
    config = merge_config(GenerateConfig, {"classes": ("dog",), "model": str(tmp_path), **REFERENCE})
    assert (config.guidance_scale, config.capture) == (5.0, replace(PLAIN, layers="down"))
    config = merge_config(GenerateConfig, {"classes": ("dog",), "model": str(tmp_path), **REFERENCE}, preset=False)
    assert (config.guidance_scale, config.capture) == (7.0, PLAIN)


def test_a_recommended_reference_brings_its_capture_along(tmp_path: Path):
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": {"method": "reference"}}))
    config = merge_config(GenerateConfig, {"classes": ("dog",), "model": str(tmp_path)})
    assert (config.mask.method, config.capture) == ("reference", PLAIN)


def test_over_a_datasets_configuration_the_capture_changes_with_the_method(tmp_path: Path, bare: str):
    file = tmp_path / "seediff.toml"
    file.write_text(merge_config(GenerateConfig, {"classes": ("dog",), "model": bare}).to_toml(), encoding="utf-8")
    to = merge_config(GenerateConfig, REFERENCE, file)
    assert to.capture == PLAIN
    file.write_text(to.to_toml(), encoding="utf-8")
    assert merge_config(GenerateConfig, {}, file) == to
    assert merge_config(GenerateConfig, {"mask": {"method": "seediff"}}, file).capture == CaptureConfig()


def test_maps_that_the_method_cannot_work_with_are_refused():
    maps = replace(random_maps(8), normalized=True)
    with pytest.raises(UserError, match="method reference works on plain means of attention; use --no-capture-normalize"):
        soft_mask(maps, "dog", MaskConfig(method="reference"))
    soft_mask(replace(maps, normalized=False), "dog", MaskConfig(method="reference"))
    soft_mask(maps, "dog", MaskConfig())


@pytest.mark.parametrize("command", ["generate", "mask"])
def test_the_command_line_says_what_is_captured(tmp_path: Path, mini_folder, capsys, command):
    from photo_set import write_photos

    paths = [str(write_photos(tmp_path / "in", 1))] if command == "mask" else []
    line = [command, *paths, "--classes", "dog", "--model", str(mini_folder), "--out", str(tmp_path / "out"), "--method", "reference"]
    levels = ["--seed-level", "4", "--expand-levels", "4,2,1"]
    assert main([*line, *levels, "--dry-run"]) == 0
    assert "Attention: plain means, up layers, all steps\n" in capsys.readouterr().out
    assert main([*line, *levels, "--capture-steps", "second-half", "--capture-layers", "all", "--dry-run"]) == 0
    assert "Attention: plain means, all layers, the second half of the steps\n" in capsys.readouterr().out
    assert main([*line, *levels, "--capture-normalize"]) == 2
    assert "capture.normalize = true: method reference works on plain means" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
