import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seediff.cli.commands import COMMANDS, HELP, HELP_ALL
from seediff.cli.main import main
from seediff.cli.summary import show_result
from seediff.config.fields import field_types
from seediff.config.methods import CaptureConfig
from seediff.config.runs import GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig
from seediff.config.settings import tables_of
from seediff.config.train import TrainConfig
from seediff.errors import UserError
from seediff.rows.row import Row
from seediff.run.generate_job import GenerateJob
from seediff.run.mask_job import MaskJob
from seediff.run.output import RunResult
from seediff.run.segment_job import SegmentJob

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\x7f"


def test_control_characters_of_errors_are_shown():
    error = UserError(f"a\tb\nc\rd{EVIL}", "\x1b[31mé→", "\ud800")
    assert str(error) == "a\tb\nc\\rd\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eevil\\x7f: \\x1b[31mé→; \\ud800"


@pytest.mark.parametrize("command", ["check", "stats"])
def test_names_of_others_reach_no_terminal(command, tmp_path, capsys):
    pets = tmp_path / "pets"
    pets.mkdir()
    (pets / "classes.txt").write_text(f"background\n{EVIL}\n", encoding="utf-8")
    (pets / "metadata.jsonl").write_text(json.dumps({"file_name": f"images/{EVIL}.png", "mask_file_name": EVIL}) + "\n")
    assert main([command, str(pets)]) == 2
    shown = "".join(capsys.readouterr())
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x7f"} & set(shown)
    assert "internal error" not in shown


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{seediff} models >&- 2>&-", 0),
        ("PYTHONIOENCODING=ascii {seediff} check /nowhere/é", 2),
        ("{seediff} models | true; exit ${{PIPESTATUS[0]}}", 141),
    ],
)
def test_streams(line, code):
    done = subprocess.run(
        ["bash", "-c", line.format(seediff=f"{sys.executable} -m seediff")], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr


def in_a_line(capsys):
    """What was printed, with single spaces."""
    return " ".join(capsys.readouterr().out.split())


def test_the_summary_says_what_was_drawn_again(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    names = ("dog", "cat")
    job = GenerateJob(GenerateConfig(classes=names, per_class=4, classes_per_image=2))
    row = Row(classes=names, asked=names, confidence={"dog": 0.9, "cat": 0.8})
    rows = [row.replace(file_name=f"images/{number}.png") for number in range(3)]
    again = [Row(index=index, classes=names, flags=("mixed:cat",)) for index in (0, 3, 3, 3)]
    show_result(job, RunResult(Path("out"), rows, 4, {}, {"rejected.jsonl": again}))
    said = in_a_line(capsys)
    assert "1 redrawn, 1 left out: why is in rejected.jsonl" in said
    assert "│ dog │ 3 of 4 │" in said
    assert "Few images of dog, cat: the same command with --per-class 6 adds more" in said
    assert "filter out --drop-flags all --min-confidence 0.25 --out out-good" in said
    assert "Nearly all" not in said
    show_result(job, RunResult(Path("out"), (), 4, {}, {"rejected.jsonl": again * 3}))
    said = in_a_line(capsys)
    assert "Nearly all drawings are flagged mixed" in said
    assert "Next:" not in said
    job = MaskJob(MaskPhotosConfig(model="mini", classes=names))
    show_result(job, RunResult(Path("out"), [*rows, Row(flags=("no_class",))], 4, {}))
    said = in_a_line(capsys)
    assert "│ dog │ 3 │" in said
    assert "│ none of the classes │ 1 │" in said
    job = SegmentJob(SegmentPhotosConfig(model="mini", names=names))
    show_result(job, RunResult(Path("out"), [rows[0].replace(classes=("segment",)), rows[1]], 2, {}))
    assert "No segment has a name in 1 of 2 images: no word reached --name-threshold" in capsys.readouterr().out


IN_FILES = (
    "prompts text_share photos power drops class_weight mask_weight dice_weight no_object points auxiliary".split()
)
"""Fields without an option of their name."""


@pytest.mark.parametrize(
    ("command", "kind"), [("generate", GenerateConfig), ("segment", SegmentPhotosConfig), ("train", TrainConfig)]
)
def test_every_field_of_a_command_is_an_option_with_a_text(command, kind, capsys):
    assert main([command, HELP_ALL]) == 0
    said = in_a_line(capsys).replace("│ ", "")
    for part in (kind, *tables_of(kind).values()):
        for name in set(field_types(part)) - set(tables_of(kind)) - set(IN_FILES):
            option = name if part is not CaptureConfig else f"capture-{name}"
            assert f"--{option.replace('_', '-')} " in said


@pytest.mark.parametrize("command", [*COMMANDS, "evaluate segments"])
def test_every_help_has_an_example_and_defaults_in_words(command, capsys):
    assert main([*command.split(), HELP]) == 0
    said = in_a_line(capsys).replace("│ ", "")
    assert f"seediff {command}" in said.partition("For example: ")[2]
    assert not re.findall(r"default: (?:False|True|None|\(\)|\[\])", said)


def test_help_in_a_file_has_quotes_instead_of_colours(capsys):
    for words in ([HELP], ["generate", HELP]):
        assert main(words) == 0
        assert "`seediff generate --classes dog,cat" in capsys.readouterr().out


def test_help_shows_what_the_default_model_uses_and_which_methods_read_an_option(capsys):
    used = GenerateConfig.recommended(classes=("dog",))
    wanted = {
        "generate": [
            f"Denoising steps. [default: {used.steps}]",
            f"[default: {used.mask.beta:g}]",
            f"[default: {used.capture.layers}]",
            "ca_sa: exponent of the self-attention. [default: 4]",
        ],
        "mask": ["[default: 0.3]"],  # has no default model
        "segment": ["kmeans: number of segments."],
    }
    assert used.steps != GenerateConfig.steps
    for command, texts in wanted.items():
        assert main([command, HELP_ALL]) == 0
        said = in_a_line(capsys).replace("│ ", "")
        assert [text for text in texts if text not in said] == []
