"""Names from anybody on the terminal, closed and foreign streams, readers that go."""

import io
import json
import os
import subprocess
import sys

import pytest

from seediff.cli import main
from seediff.cli.terminal import COLOURS, Shown
from seediff.dataset.store import check_classes
from seediff.errors import UserError

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\x7f"


def test_control_characters_are_shown():
    stream = io.StringIO()
    Shown(stream).write(f"a\tb\n{EVIL}\x1b[31mé→")
    assert stream.getvalue() == "a\tb\n\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eevil\\x7f\\x1b[31mé→"
    stream = io.StringIO()
    Shown(stream, COLOURS).write(f"\x1b[1;31mred\x1b[0m {EVIL}")
    assert stream.getvalue() == "\x1b[1;31mred\x1b[0m \\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eevil\\x7f"


@pytest.mark.parametrize("command", ["check", "stats", "preview"])
def test_names_of_others_reach_no_terminal(command, tmp_path, capsys):
    pets = tmp_path / f"p{EVIL}"
    pets.mkdir()
    (pets / "classes.txt").write_text(f"background\n{EVIL}\n", encoding="utf-8")
    (pets / "metadata.jsonl").write_text(json.dumps({"file_name": f"images/{EVIL}.png", "mask": EVIL}) + "\n")
    assert main([command, str(pets)]) == 2
    shown = "".join(capsys.readouterr())
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x7f"} & set(shown)
    assert "fault" not in shown


@pytest.mark.parametrize("name", ["a\x1bb", "a\x01", "a\x7f", "a\x9b", "a\ud800"])
def test_classes_have_no_control_characters(name):
    with pytest.raises(UserError, match=r"must (have no control characters|be a line of text)"):
        check_classes([name])


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{seediff} models >&-", 0),
        ("{seediff} models >&- 2>&-", 0),
        ("{seediff} none 2>&-", 2),
        ("PYTHONIOENCODING=ascii {seediff} check /nowhere/é", 2),
        ("PYTHONIOENCODING=latin-1 {seediff} --help", 0),
        ("{seediff} completion bash | head -c 1; exit ${{PIPESTATUS[0]}}", 141),
        ("{seediff} models | true; exit ${{PIPESTATUS[0]}}", 141),
    ],
)
def test_streams(line, code):
    done = subprocess.run(["bash", "-c", line.format(seediff=f"{sys.executable} -m seediff")], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "fault" not in done.stderr
    assert "Traceback" not in done.stderr
