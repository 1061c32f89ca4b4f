"""What stands beneath a configuration's fields is what the command line says of its options."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from seediff.cli.commands import main
from seediff.cli.options import FieldText, field_texts
from seediff.cli.short_help import HELP_ALL
from seediff.config.constants import CaptureConfig, MaskConfig, SegmentConfig
from seediff.config.generate import GenerateConfig
from seediff.config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from seediff.config.train import TrainConfig


def test_the_first_paragraph_and_what_none_means() -> None:
    texts = field_texts(GenerateConfig)
    assert texts["size"] == FieldText("Size of the images in pixels: one side, or width x height such as 1024x768.", "the model's own")
    assert texts["keep_soft"] == FieldText("Write soft masks to soft/, one grey PNG per class, 255 = 1.", "no")
    assert texts["device"] == FieldText("Device: cuda, mps or cpu.", "the fastest available")  # of a class that it inherits from
    assert texts["classes"].default == texts["negative_prompt"].default == ""
    masks = field_texts(MaskConfig)
    assert (masks["expand_levels"].default, masks["pamr"].default, masks["ignore_band"].default) == ("4,2,1", "yes", "")
    assert field_texts(TrainConfig)["learning_rate"].default == "0.0001"


def test_a_class_of_others_has_no_texts() -> None:
    @dataclass
    class Elsewhere:
        size: int = 3
        """Beneath."""

    assert field_texts(Elsewhere) == {"size": FieldText("", "3")}


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        ("generate", (GenerateConfig, MaskConfig, CaptureConfig)),
        ("mask", (MaskPhotosConfig, MaskConfig, CaptureConfig)),
        ("segment", (SegmentPhotosConfig, SegmentConfig)),
    ],
)
def test_every_field_of_a_command_is_an_option_with_a_text(command: str, kinds, capsys) -> None:
    assert main([command, HELP_ALL]) in (0, None)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    elsewhere = {"prompts": "prompt", "capture": "capture-steps", "mask": "method", "segment": "method", "photos": "out"}
    for kind in kinds:
        for name, told in field_texts(kind).items():
            if name == "text_share" or (command == "generate" and name == "flip"):  # in files alone; of photographs
                continue
            if kind is CaptureConfig:
                name = f"capture-{name}"
            assert f"--{elsewhere.get(name, name).replace('_', '-')}" in shown
            assert told.text or name in elsewhere
