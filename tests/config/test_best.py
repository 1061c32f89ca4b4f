"""Method `best`: configurations resolve to what was measured as best for the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from photo_set import write_photos

from seediff.cli.commands import main
from seediff.config.base import differences
from seediff.config.generate import GenerateConfig
from seediff.config.photographs import MaskPhotosConfig
from seediff.config.presets import read_preset, recommended_mask
from seediff.config.resolve import configure, load_config
from seediff.errors import UserError
from seediff.run.mask import MaskJob

BEST = {"mask": {"method": "best"}}


@pytest.mark.parametrize("kind", [GenerateConfig, MaskPhotosConfig])
def test_it_is_the_row_of_the_models_preset(kind, tmp_path: Path):
    row = read_preset("mini").methods["best"]
    config = kind.recommended(classes=("dog",), **BEST)
    assert {name: getattr(config.mask, name) for name in row["mask"]} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in row["mask"].items()
    }
    assert {name: getattr(config.capture, name) for name in row["capture"]} == row["capture"]
    assert config.source("mask.method") == config.source("capture.layers") == "the best masks of mini"
    assert recommended_mask("mini", "best").mask == config.mask

    (tmp_path / "seediff.toml").write_text(config.to_toml())  # says it in full, without `best`
    assert '"best"' not in config.to_toml()
    assert load_config(tmp_path / "seediff.toml", kind) == config
    again = configure(kind, {"classes": ("dog",), **BEST}, tmp_path / "seediff.toml")
    assert not differences(config, again)


def test_what_is_given_goes_before_it_and_a_file_may_name_it(tmp_path: Path):
    (tmp_path / "mine.toml").write_text('classes = ["dog"]\n[mask]\nmethod = "best"\nbeta = 0.6\n')
    config = configure(GenerateConfig, {"capture": {"layers": "down"}}, tmp_path / "mine.toml")
    row = read_preset("mini").methods["best"]["mask"]
    assert (config.mask.method, config.mask.beta, config.capture.layers) == (row["method"], 0.6, "down")
    assert config.mask.pamr_iterations == row["pamr_iterations"]


def test_an_output_s_file_may_be_edited_to_ask_for_it(tmp_path: Path):
    plain, best = (GenerateConfig.recommended(classes=("dog",), **given) for given in ({}, BEST))
    (tmp_path / "seediff.toml").write_text(plain.to_toml().replace('method = "seediff"', 'method = "best"'))
    assert configure(GenerateConfig, {}, tmp_path / "seediff.toml").mask == best.mask
    with pytest.raises(
        UserError, match=r"seediff\.toml\); in Python, use recommended_mask\(model,"
    ):  # where nothing is resolved
        load_config(tmp_path / "seediff.toml", GenerateConfig)


@pytest.mark.parametrize(
    ("model", "method", "layers"),
    [("sd1.5", "ca_sa", "up/last"), ("sd3.5-medium", "ca_sa", "all"), ("sana", "ca", "all")],
)
def test_a_model_without_a_row_has_that_of_its_kind(model: str, method: str, layers: str, tmp_path: Path):
    config = MaskPhotosConfig.recommended(classes=("dog",), model=model, **BEST)
    assert (config.mask.method, config.capture.layers) == (method, layers)
    assert config.mask.compete is (method != "ca")
    assert config.source("mask.method") != "given"


def test_the_plan_says_what_it_is(tmp_path: Path, capsys):
    photos = write_photos(tmp_path / "in", 1)
    constants = recommended_mask("mini", "best").mask
    method, beta = constants.method, constants.beta
    for line in (["generate"], ["mask", str(photos)]):
        assert main([*line, "--classes", "dog", "--method", "best", "--dry-run", "--out", str(tmp_path / "out")]) == 0
        shown = capsys.readouterr().out
        best = next(line for line in shown.splitlines() if line.startswith("From the best masks of mini: "))
        assert f'mask.method = "{method}", ' in best
        assert f"mask.beta = {beta}" in shown


@pytest.mark.parametrize(
    ("model", "method", "whose"),
    [
        ("mini", "best", ""),
        ("sd1.5", "best", "mini's"),
        ("sdxl", "best", "mini's"),
        ("sd3.5-medium", "best", "mini-dit's"),
        ("sana", "best", "the papers', of Stable Diffusion 1.x and 2.x"),
        ("sd1.5", "ca", ""),
        ("sdxl", "ca", "the papers', of Stable Diffusion 1.x and 2.x"),
    ],
)
def test_the_plan_says_whose_constants_were_never_tuned_for_the_model(model: str, method: str, whose: str):
    config = MaskPhotosConfig.recommended(classes=("dog",), model=model, mask={"method": method})
    said = [line for line in MaskJob(config, ()).settings() if line.startswith("Constants: ")]
    assert [line.partition("; they are ")[2] for line in said] == ([whose] if whose else [])
    assert recommended_mask(model, method).tuned is not bool(whose)
