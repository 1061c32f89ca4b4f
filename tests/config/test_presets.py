import json
from typing import get_args

import pytest
from builders.refusals import refused, user_error

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.cli.main import main
from seediff.config.generate_config import GenerateConfig
from seediff.config.methods import METHOD_FACTS, Method
from seediff.config.photos_config import MaskPhotosConfig
from seediff.config.presets import read_preset
from seediff.models.describe import read_settings
from seediff.models.locate import EMBEDDED


def test_there_are_defaults_for_every_method():
    packaged = {name for name, facts in METHOD_FACTS.items() if facts.user_function is None}
    assert packaged == set(get_args(Method))
    for method in METHOD_FACTS:  # all of them are configurations
        assert GenerateConfig.recommended(classes=("dog",), model="sd1.5", method=method).mask.method == method


def read(folder):
    settings = read_settings(folder)
    return read_preset(settings.preset, settings.path)


@pytest.mark.parametrize("name", list(EMBEDDED))
def test_the_embedded_models_constants_are_right(name):
    read(EMBEDDED[name])


@pytest.mark.parametrize("command", ["generate", "mask"])
def test_the_command_line_says_what_is_captured(tmp_path, mini_folder, capsys, command):
    from photo_set import write_photos

    paths = [str(write_photos(tmp_path / "in", 1))] if command == "mask" else []
    model = f"--model {mini_folder} --method reference".split()
    line = [command, *paths, "--classes", "dog", *model, "--out", str(tmp_path / "out")]
    levels = "--seed-level 4 --expand-levels 4,2,1".split()
    assert main([*line, *levels, "--dry-run", "--verbose"]) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert 'From method reference: capture.normalize = false, capture.steps = "all", capture.layers = "up"' in said
    said = refused(capsys, *line, *levels, "--capture-normalize")
    assert "--capture-normalize: true: method reference" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ({"method": "magic"}, r'seediff\.json \[preset\]: method: "magic" must be one of'),
        ({"capture_steps": 0}, r"seediff\.json \[preset\]: capture_steps: 0 must be 'all' or"),
        ({"methods": {"ca": {"mask": {"bet": 1}}}}, r"\[preset\.methods\.ca\] \[mask\]: there is no option 'bet'"),
        ({"methods": 3}, r"seediff\.json \[preset\]: methods: must be an object"),
        ({"segments": {"diffseg": {"tau": 1}}}, r"\[preset\.segments\.diffseg\]: there is no option 'tau'"),
    ],
)
def test_constants_are_checked(tmp_path, preset, message):
    (tmp_path / "seediff.json").write_text(json.dumps({"classes": ["dog"], "preset": preset}))
    with user_error(message):
        read(tmp_path)


def test_without_self_attention():
    assert MaskPhotosConfig.recommended(classes=("dog",), model="sana").mask.method == "ca"
