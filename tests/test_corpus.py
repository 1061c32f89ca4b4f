"""Damaged and hostile inputs that once ended in a traceback, a hang, or a wrong set without a word, one a case.

`in/` holds the inputs of `builders/inputs.py`, changed by the case's edits; the current folder is `work/cwd`, and
nothing may change in or copy from `secret/`.
"""

import re
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders.inputs import make, words

from seediff.cli.main import main

pytestmark = pytest.mark.slow

SECRET = b"nobody else's business\n"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Case:
    """says: the beginning of the one line on stderr, behind `seediff: `. edits: path in the case's folder → what
    changes that file.
    """

    why: str
    line: str
    edits: dict[str, Callable[[Path], object]]
    says: str


def write(data):
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))


def swap(old, new):
    """Put `new` in place of the first `old`."""

    def change(path):
        before, found, after = path.read_bytes().partition(old.encode())
        assert found or not old, f"{path} has no {old!r}"
        write(before + (new if isinstance(new, bytes) else new.encode()) + after)(path)

    return change


def link(to):
    """A link in the file's place. to: a path, or a file of `secret/`."""

    def change(path):
        path.unlink()
        path.symlink_to(Path(str(path).partition("/in/")[0], "secret", to))

    return change


def copy(name):
    """A copy of the file, of another name beside it."""
    return lambda path: shutil.copyfile(path, path.with_name(name))


def with_chunk(kind, data):
    """Put one more chunk into a PNG, behind its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return lambda path: write(path.read_bytes()[:33] + chunk + path.read_bytes()[33:])(path)


COCO = "in/coco/annotations/semantic_train.json"
ROWS, CLASSES = "in/native/metadata.jsonl", "in/native/classes.txt"
CHECKPOINT = "in/training/checkpoint.safetensors"
UNET = "in/model/unet/config.json"
SOFT = "in/generated/soft/000000_1.png"

CHECK, STATS = "check in/native", "stats in/native --json work/out.json"
FROM_COCO = "import in/coco --from coco --out work/out"
TO_VOC = "export in/native --to voc --out work/out"
FILTER = "filter in/native --out work/out --max-area 0.9"
GENERATE = "generate GENERATE --out work/out"
TRAIN = "train in/native TRAIN --out in/training"

CASES = [
    # Sizes
    Case(
        "80 MB of text in a picture",
        STATS,
        {
            "in/native/masks/one.png": with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80 << 20))),
        },
        "in/native/masks/one.png",
    ),
    # Values of another kind
    Case(
        "a state of another kind",
        TRAIN,
        {CHECKPOINT: swap('\\"step\\": 1', '\\"step\\":[]')},
        f"in/training: holds a training that is damaged or of another version of seediff ({CHECKPOINT}",
    ),
    Case("metadata came in unchecked", FROM_COCO, {COCO: swap('"seed": 46', '"seed": {"x": 4}, "s": 46')}, COCO),
    *(
        Case("a row's classes", line, {ROWS: swap('"classes": ["dog", "cat"]', f'"classes": {value}')}, says)
        for line, value, says in (
            (FILTER, "null", ROWS),
            ("train in/native TRAIN --out work/out --dry-run", "5", ROWS),
            (CHECK, '["\\ud800"]', "in/native"),
            ("export in/native --to cvat --out work/out", '["fox"]', ROWS),
        )
    ),
    Case(
        "a million layers",
        GENERATE,
        {UNET: swap('"layers_per_block": 1', f'"layers_per_block": {10**6}')},
        "../../" + UNET,
    ),
    Case(
        "a token that the text encoder has no row for",
        GENERATE,
        {"in/model/tokenizer/tokenizer_config.json": swap('"eos_token": "', '"eos_token": "<|endoftext|>')},
        "the model cannot run: index out of range",
    ),
    # Characters that are none
    Case(
        "control characters",
        TO_VOC,
        {ROWS: swap("images/one", "images/a\\u0001b"), "in/native/images/one.png": copy("a\x01b.png")},
        f"{ROWS}, row 1: sample name 'a\\x01b'",
    ),
    Case("escapes in a path", f"{TRAIN} --finetune '\x1b[31m'", {}, "\\x1b[31m: no such"),
    # Files elsewhere
    Case("a link to a key: its first line was told", STATS, {CLASSES: link("key")}, CLASSES),
    Case(
        "a link to a key: its bytes came out", "merge in/native in/generated --out work/out", {SOFT: link("key")}, SOFT
    ),
]


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """The case's folder in which inputs are made, to be copied."""
    case = tmp_path_factory.mktemp("valid")
    for folder in ("in", "work/cwd"):
        (case / folder).mkdir(parents=True)
    return case


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.why}: {case.line.split()[0]}")
def test_a_case_that_failed_once(case, valid, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(valid / "work" / "cwd")
    named = " ".join((case.line, "in/model" if "GENERATE" in case.line else "", *case.edits))
    for source in sorted(make(name, valid) for name in set(re.findall(r"\bin/(\w+)", named))):
        shutil.copytree(source, tmp_path / "in" / source.name)
    for folder in ("in", "work/cwd", "secret"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "secret" / "key").write_bytes(SECRET)
    for path, edit in case.edits.items():
        edit(tmp_path / path)
    monkeypatch.chdir(tmp_path / "work" / "cwd")
    capfd.readouterr()

    code = main(words(case.line, tmp_path))

    out, err = capfd.readouterr()
    assert code == 2, err
    assert "Traceback" not in err
    assert "internal error" not in err
    assert not CONTROLS.search(out + err)
    (line,) = [line for line in err.splitlines() if line.startswith("seediff: ")]
    assert line.replace(f"{tmp_path}/", "").startswith(f"seediff: {case.says}")
    assert [path.read_bytes() for path in (tmp_path / "secret").iterdir()] == [SECRET]
    written = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert not [path for path in written if path.name.endswith(".part") or SECRET in path.read_bytes()]
