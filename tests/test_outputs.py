"""Places are tried before long work."""

from __future__ import annotations

from pathlib import Path

import pytest

from seediff.errors import UserError
from seediff.outputs import make_writable


def test_folders_are_made_and_left_empty(tmp_path: Path) -> None:
    make_writable(tmp_path / "a" / "b", tmp_path / "c" / "figures.json")
    assert list((tmp_path / "a" / "b").iterdir()) == list((tmp_path / "c").iterdir()) == []


def test_what_is_no_use_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out .*file: cannot be written to"):
        make_writable(tmp_path / "file")
    with pytest.raises(UserError, match=r"--json .*: is a folder"):
        make_writable(tmp_path / "out", tmp_path)
    with pytest.raises(UserError, match=r"--json .*t\.json: cannot be written to"):
        make_writable(tmp_path / "out", tmp_path / "file" / "t.json")
