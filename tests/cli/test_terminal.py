import io
import json
import os
import subprocess
import sys

import pytest

from seediff.cli.main import main
from seediff.files.messages import EscapedStream

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\x7f"


def test_control_characters_are_shown():
    stream = io.StringIO()
    EscapedStream(stream).write(f"\ra\tb\r\nc\rd{EVIL}\x1b[31mé→\ud800\n")
    assert stream.getvalue() == "\ra\tb\r\nc\\rd\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eevil\\x7f\\x1b[31mé→\\ud800\n"


@pytest.mark.parametrize("command", ["check", "stats"])
def test_names_of_others_reach_no_terminal(command, tmp_path, capsys):
    pets = tmp_path / f"p{EVIL}"
    pets.mkdir()
    (pets / "classes.txt").write_text(f"background\n{EVIL}\n", encoding="utf-8")
    (pets / "metadata.jsonl").write_text(json.dumps({"file_name": f"images/{EVIL}.png", "mask_file_name": EVIL}) + "\n")
    assert main([command, str(pets)]) == 2
    shown = "".join(capsys.readouterr())
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\x7f"} & set(shown)
    assert "fault" not in shown


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{seediff} models >&-", 0),
        ("{seediff} models >&- 2>&-", 0),
        ("{seediff} none 2>&-", 2),
        ("PYTHONIOENCODING=ascii {seediff} check /nowhere/é", 2),
        ("PYTHONIOENCODING=latin-1 {seediff} --help", 0),
        ("{seediff} models | true; exit ${{PIPESTATUS[0]}}", 141),
    ],
)
def test_streams(line, code):
    done = subprocess.run(
        ["bash", "-c", line.format(seediff=f"{sys.executable} -m seediff")], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "fault" not in done.stderr
    assert "Traceback" not in done.stderr
