import pytest

from seediff.cli.commands import main
from seediff.cli.help import HELP_ALL
from seediff.config.constants import CaptureConfig
from seediff.config.fields import field_types, tables_of
from seediff.config.generate import GenerateConfig
from seediff.config.photographs import SegmentPhotosConfig
from seediff.config.train import TrainConfig

IN_FILES = {
    "photos",
    "power",
    "drops",
    "class_weight",
    "mask_weight",
    "dice_weight",
    "no_object",
    "points",
    "auxiliary",
}
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


def test_defaults_are_those_of_the_model_and_the_method(capsys, tmp_path):
    assert "[default: 0.2 (mini's preset)]" in shown(capsys, "generate", "--help")
    assert "[default: 0.3]" in shown(capsys, "generate", "--help", "--model", "sd1.5")
    assert "[default: 0.4 (method daam)]" in shown(capsys, "generate", "--method", "daam", "--model", "sd1.5", "--help")
    assert "[default: 0.002 (backbone tiny)]" in shown(capsys, "train", "--backbone", "tiny", "--help")
    assert "[default: 0.1]" in shown(capsys, "train", "--backbone=tiny", "--weights", "pretrained", HELP_ALL)
    lora = "latent-consistency/lcm-lora-sdv1-5"
    assert f"[default: 4 (what {lora[19:]} was distilled for)]" in shown(capsys, "generate", "--lora", lora, "--help")
    assert "[default: 0.3]" in shown(capsys, "generate", "--preset", "paper", "--help")
    assert "[default: 0.2 (mini's preset)]" in shown(capsys, "evaluate", "masks", "--help")
    assert "[default: 0.9 (preset cityscapes)]" in shown(capsys, "segment", "--preset", "cityscapes", "--help")
    assert "[default: mini]" in shown(capsys, "segment", "--help", "--method", "kmeans")
    (tmp_path / "mine.toml").write_text("[mask]\nbeta = 0.25\n")
    assert "[default: 0.25]" in shown(capsys, "mask", "--config", str(tmp_path / "mine.toml"), "--help")
