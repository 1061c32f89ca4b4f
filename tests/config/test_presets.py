from typing import get_args

import pytest
from builders.configured import write_model
from builders.refusals import refused, user_error

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.cli.main import main
from seediff.config.methods import METHOD_FACTS, Method
from seediff.config.runs import GenerateConfig, MaskPhotosConfig
from seediff.models.short_names import EMBEDDED


def test_there_are_defaults_for_every_method():
    packaged = {name for name, facts in METHOD_FACTS.items() if facts.user_function is None}
    assert packaged == set(get_args(Method))
    for method in METHOD_FACTS:  # all of them are configurations
        assert GenerateConfig.recommended(classes=("dog",), model="sd1.5", method=method).mask.method == method


@pytest.mark.parametrize("name", list(EMBEDDED))
def test_the_embedded_models_constants_are_right(name):
    for method in ("ca", "ca_sa", "seediff", "daam"):
        MaskPhotosConfig.recommended(classes=("dog",), model=name, method=method)


@pytest.mark.parametrize("command", ["generate", "mask"])
def test_the_command_line_says_what_is_captured(tmp_path, mini_folder, capsys, command):
    from photo_set import write_photos

    paths = [str(write_photos(tmp_path / "in", 1))] if command == "mask" else []
    model = f"--model {mini_folder} --method reference".split()
    line = [command, *paths, "--classes", "dog", *model, "--out", str(tmp_path / "out")]
    levels = "--seed-level 4 --expand-levels 4,2,1".split()
    assert main([*line, *levels, "--dry-run", "--verbose"]) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "Not given: " in said
    assert 'capture.normalize = false, capture.steps = "all", capture.layers = "up"' in said
    said = refused(capsys, *line, *levels, "--capture-normalize")
    assert "--capture-normalize: true: method reference" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ({"method": "magic"}, "mask.method: 'magic' is not known"),
        ({"capture_steps": 0}, "capture.steps: 0 must be 'all' or"),
        ({"methods": 3}, r"seediff\.json: .preset\.methods.: must be an object"),
    ],
)
def test_constants_are_checked(tmp_path, preset, message):
    write_model(tmp_path / "own", preset)
    with user_error(message):
        GenerateConfig.recommended(classes=("dog",), model=str(tmp_path / "own"))
