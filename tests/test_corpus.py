"""Damaged and hostile inputs that once ended in a traceback, a hang, or a wrong set without a word: `corpus/NAME.json`
each.

{"why": "what went wrong", "line": "check {case}/in/native", "edits": [{"kind": "write", "path":
"in/native/classes.txt", "text": "…"}],
 "code": 2, "says": "the beginning of its one line on stderr; empty if it succeeds"}

`in/` holds the inputs of `builders/inputs.py`, the current folder is `work/cwd`, and nothing may change in or copy from
`secret/`.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
from builders.inputs import make, words

from seediff.cli import main

CORPUS = Path(__file__).parent / "corpus"
SECRET = b"nobody else's business\n"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The case's folder in which inputs are made, to be copied."""
    case = tmp_path_factory.mktemp("valid")
    for folder in ("in", "work/cwd"):
        (case / folder).mkdir(parents=True)
    return case


def change(case: Path, kind: str, path: str, to: str = "", size: int = 0, **data: str) -> None:
    """Write to a file, remove it, copy it to `to`, or put a folder, a link, or a file of `size` bytes without content
    in its place.
    """
    target = case / path
    if kind == "copy":
        shutil.copyfile(case / to, target) if not target.exists() else shutil.copyfile(target, case / to)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if kind == "write":
        packed = base64.b64decode(data.get("zlib") or data.get("base64") or "")
        target.write_bytes(zlib.decompress(packed) if "zlib" in data else packed or data.get("text", "").encode())
    elif kind == "folder":
        target.mkdir()
    elif kind == "link":
        target.symlink_to(to.replace("{case}", str(case)))
    elif kind == "sparse":
        with target.open("wb") as file:
            file.truncate(size)


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("*.json")))
def test_a_case_that_failed_once(name, valid, tmp_path, monkeypatch, capfd):
    table: dict[str, Any] = json.loads((CORPUS / f"{name}.json").read_text(encoding="ascii"))
    monkeypatch.chdir(valid / "work" / "cwd")
    used = set(
        re.findall(
            r"\bin/(\w+)",
            " ".join(
                (
                    table["line"],
                    "in/model" if "GENERATE" in table["line"] else "",
                    *(edit["path"] for edit in table["edits"]),
                )
            ),
        )
    )
    sources = [make(one, valid) for one in sorted(used)]
    for source in sources:
        shutil.copytree(source, tmp_path / "in" / source.name)
    for folder in ("work/cwd", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("key", "picture.png"):
        (tmp_path / "secret" / file).write_bytes(SECRET)
    for edit in table["edits"]:
        change(tmp_path, **edit)
    monkeypatch.chdir(tmp_path / "work" / "cwd")
    capfd.readouterr()

    code = main(words(table["line"], tmp_path))

    out, err = capfd.readouterr()
    lines = err.strip().replace(str(tmp_path), "CASE").splitlines()
    assert code == table["code"], err
    assert "Traceback" not in err
    assert "a fault of seediff" not in err
    assert not CONTROLS.search(out + err)
    if code == 2:
        (line,) = [line for line in lines if line.startswith("seediff: ")]
        assert line.startswith(table["says"])
    assert [path.read_bytes() for path in sorted((tmp_path / "secret").iterdir())] == [SECRET] * 2
    written = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert not [path for path in written if path.name.endswith(".part") or SECRET in path.read_bytes()]
