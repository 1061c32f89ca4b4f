from dataclasses import replace

import pytest
from builders.configured import PRESET, configured, write_model
from builders.refusals import user_error

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.cli.commands import COMMANDS, make_app
from seediff.cli.line import CommandLine
from seediff.config.methods import CaptureConfig, MaskConfig
from seediff.config.other_names import OTHER_NAMES, own_name
from seediff.config.runs import GenerateConfig
from seediff.config.settings import load_config
from seediff.files.reading import read_toml

DOG = {"classes": ("dog",)}


def written(config, folder):
    (folder / "seediff.toml").write_text(config.to_toml(), encoding="utf-8")
    return folder / "seediff.toml"


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "own", PRESET)


def test_what_python_gives_is_given():
    config = GenerateConfig(classes=("dog",), mask=MaskConfig(beta=0.4))
    assert config.given == ("classes", "mask.beta")
    assert GenerateConfig.recommended(**DOG, steps=3, tau=2).steps == 3  # the capture has `steps`, too
    changed = replace(GenerateConfig.recommended(**DOG), steps=9).filled(device="cpu", seed=4)
    assert (changed.given, changed.steps, changed.device, changed.seed) == (("classes",), 9, "cpu", 0)


def test_the_file_says_it_and_gives_it_back(model, tmp_path):
    config = configured(GenerateConfig, {**DOG, "model": model, "mask.beta": 0.2, "size": "512x512"})
    file = written(config, tmp_path)
    assert read_toml(file)["given"] == ["model", "classes", "mask.beta", "size"]
    assert read_toml(file)["mask"]["beta"] == 0.2
    for again in (load_config(file, GenerateConfig), configured(GenerateConfig, {}, file)):
        assert again == config
        assert again.given == config.given
    assert configured(GenerateConfig, {"seed": 3, "mask.method": "ca_sa"}, file) == replace(config, seed=3)


def test_what_no_line_says_is_unset_and_no_preset_fills_it(model, tmp_path):
    paper = GenerateConfig(classes=("dog",), model=model)
    assert configured(GenerateConfig, {}, written(paper, tmp_path)) == paper


def test_another_model_brings_its_own_and_what_was_given_stays(model, tmp_path):
    line = {**DOG, "model": model, "mask.beta": 0.4, "capture.steps": "second-half", "guidance_scale": 4.0}
    other = configured(GenerateConfig, {"model": "sd1.5"}, written(configured(GenerateConfig, line), tmp_path))
    # Also where it is what the first model's preset would have said; the method, which nobody chose, is the other
    # model's.
    capture, mask = CaptureConfig(steps="second-half"), MaskConfig(beta=0.4)
    assert other == GenerateConfig(classes=("dog",), model="sd1.5", guidance_scale=4.0, mask=mask, capture=capture)
    file = written(GenerateConfig(classes=("dog",), model="sd1.5", mask=MaskConfig(method="ca_sa")), tmp_path)
    assert configured(GenerateConfig, {"model": model}, file) == GenerateConfig.recommended(
        classes=("dog",), model=model
    )


def test_whole_configurations_and_wrong_ones(model):
    given = MaskConfig(method="ca", alpha=0.2)
    config = GenerateConfig.recommended(**DOG, model=model, mask=given, capture=CaptureConfig(steps=3))
    assert (config.mask, config.capture, config.steps) == (given, CaptureConfig(steps=3), 20)
    with user_error("mask: must be a MaskConfig or a table of its"):
        GenerateConfig.recommended(**DOG, model=model, mask=3)
    with user_error("capture: there is no option 'layer'; options here: normalize, steps, layers"):
        GenerateConfig.recommended(**DOG, model=model, capture={"layer": "up"})
    with user_error(r"^GenerateConfig: there is no option 'step'; options here:"):
        GenerateConfig.recommended(**DOG, step=3)
    with user_error("--classes"):
        configured(GenerateConfig, {})


def test_names_of_diffusers_are_answered_in_python_and_in_files(tmp_path):
    line = "there is no option 'fp16'; the name here: dtype float16$"
    with user_error(f"^GenerateConfig: {line}"):
        GenerateConfig.recommended(classes=("dog",), fp16=True)
    (tmp_path / "c.toml").write_text('classes = ["dog"]\nfp16 = true\n')
    with user_error(f"c.toml: {line}"):
        load_config(tmp_path / "c.toml", GenerateConfig)


def test_every_name_here_is_an_option_of_a_command_that_lacks_the_other():
    fields = {*vars(GenerateConfig(("dog",)))}
    commands = [
        {name.lstrip("-").replace("-", "_") for name in CommandLine(make_app(), [c]).command_options()}
        for c in COMMANDS
    ]
    for ours, others in OTHER_NAMES.items():
        for other in others.split():
            answers = [own_name(other, own) for own in (*commands, fields) if other not in own]
            assert ours in answers, (ours, other)
