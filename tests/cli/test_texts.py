import re

import pytest

from seediff.cli.commands import COMMANDS, HELP, HELP_ALL
from seediff.cli.main import main
from seediff.config.fields import field_types, tables_of
from seediff.config.generate_config import GenerateConfig
from seediff.config.method_constants import CaptureConfig
from seediff.config.photos_config import SegmentPhotosConfig
from seediff.config.train import TrainConfig

IN_FILES = "photos power drops class_weight mask_weight dice_weight no_object points auxiliary".split()
"""Fields without an option."""
OTHER_NAMES = {"prompts": "prompt", "text_share": "text-share"}


def shown(capsys, *arguments):
    assert main([*arguments]) == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("command", "kind"),
    [("generate", GenerateConfig), ("segment", SegmentPhotosConfig), ("train", TrainConfig)],
)
def test_every_field_of_a_command_is_an_option_with_a_text(command, kind, capsys):
    said = shown(capsys, command, HELP_ALL)
    for part in (kind, *tables_of(kind).values()):
        for name in field_types(part):
            if name in tables_of(kind) or name in IN_FILES:
                continue
            option = OTHER_NAMES.get(name, f"capture-{name}" if part is CaptureConfig else name.replace("_", "-"))
            assert f"--{option} " in said


@pytest.mark.parametrize("command", [*COMMANDS, "evaluate masks", "evaluate segments"])
def test_every_help_has_an_example_and_defaults_in_words(command, capsys):
    said = shown(capsys, *command.split(), HELP)
    assert f"seediff {command}" in said.partition("For example: ")[2]
    assert not re.findall(r"default: (?:False|True|None|\(\)|\[\])", said)
