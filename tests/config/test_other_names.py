from builders.refusals import user_error

from seediff.cli.commands import COMMANDS, app
from seediff.cli.line import CommandLine
from seediff.config.generate_config import GenerateConfig
from seediff.config.other_names import OTHER_NAMES, own_name
from seediff.config.resolve import load_config
from seediff.run.generate_job import generate


def test_names_of_diffusers_are_answered_in_python_and_in_files(tmp_path):
    name = "fp16"
    line = f"there is no option '{name}'; the name here: dtype float16$"
    with user_error(f"^GenerateConfig: {line}"):
        GenerateConfig.recommended(classes=("dog",), **{name: 3})
    with user_error(f"^GenerateConfig: {line}"):
        generate(classes=["dog"], out=tmp_path / "out", **{name: 3})
    (tmp_path / "c.toml").write_text(f'classes = ["dog"]\n{name} = 3\n')
    with user_error(f"c.toml: {line}"):
        load_config(tmp_path / "c.toml", GenerateConfig)


def test_every_name_here_is_an_option_of_a_command_that_lacks_the_other():
    fields = {*vars(GenerateConfig(("dog",)))}
    commands = [
        {name.lstrip("-").replace("-", "_") for name in CommandLine(app, [c]).command_options()} for c in COMMANDS
    ]
    for ours, others in OTHER_NAMES.items():
        for other in others.split():
            answers = [own_name(other, own)[0] for own in (*commands, fields) if other not in own]
            assert ours.split()[0] in answers, (ours, other)
