"""What holds for every format in the table: a new format is tried without a line here."""

import ast
import re
from pathlib import Path

import pytest
from blocks import blocks
from formats import EVERY, READ, export, imported
from items import item
from layout_cases import FOUR_PARTS, ONE_SHAPE, WITHOUT_PIXELS, formats_of

from seediff.dataset import formats
from seediff.dataset.class_lists import LISTS
from seediff.dataset.formats.format_table import FORMATS
from seediff.errors import UserError

ROOT = Path(__file__).parents[3]
FOLDER = Path(formats.__file__).parent
OF_ALL = (
    "__init__",
    "exporting",
    "format_table",
    "labelled",
    "painting",
    "parts",
    "set_files",
    "source",
    "refusal",
    "what_is_there",
)
CODECS = sorted({path.stem for path in FOLDER.glob("*.py")} - {*OF_ALL})
READS = r"(?:read|open|load)_(?!class_lists)\w+|parse_json|with_single|with_palettes"
OPENS = re.compile(rf"{READS}|zlib|gzip|io|.*etree.*|ElementTree|PIL")
DRAWS = {"labelme": {"PIL"}}
"""Codecs that draw with Pillow."""


def opened(module):
    """What a module imports or calls that opens files or unpacks bytes."""
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outside = not (node.level == 1 and node.module in CODECS)
            yield from (name for name in (node.module or "", *(alias.name for alias in node.names)) if outside)
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            yield from {"open": ["open_file"], "read_text": ["read_text"], "read_bytes": ["read_bytes"]}.get(called, [])


@pytest.mark.parametrize("module", CODECS)
def test_a_codec_reads_files_through_set_files_alone(module):
    assert {name for name in opened(module) if OPENS.fullmatch(name)} <= DRAWS.get(module, set())


def written(name, folder):
    """The files of an export with a picture of two objects, and what is read of it."""
    export(name, ("cat", "dog", "cow"), [item("a", blocks(0), {"split": "train"}, (20, 30), "jpg")], folder)
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def reading(name, folder):
    """Classes and label maps; or the refusal."""
    try:
        classes, samples = imported(name, folder)
        return classes, [(one.name, one.label_map.tolist(), one.image.tolist()) for one in samples]
    except UserError as error:
        return str(error)


CHANGES = {
    "a link that leads out": lambda path, outside: (path.rename(outside), path.symlink_to(outside)),
    "bytes of no kind": lambda path, _: path.write_bytes(b"\x89\0\xff\xfe\n" * 40),
    "nothing": lambda path, _: path.unlink(),
}


@pytest.mark.parametrize("name", EVERY)
def test_each_file_is_refused_or_is_not_needed(name, tmp_path):
    """A linked or damaged file is refused, unless the set reads the same without the file."""
    folder, outside = tmp_path.joinpath, tmp_path / "outside"
    files = written(name, folder("right"))
    right, told = reading(name, folder("right")), set()
    assert not isinstance(right, str), right
    for number, file in enumerate(files):
        found = {}
        for kind, change in CHANGES.items():
            again = folder(f"{number} {kind}")
            written(name, again)
            change(again / file, outside)
            found[kind] = reading(name, again)
        for kind, what in [*found.items()][:2]:
            if isinstance(what, str):
                assert len(what) < 600, (file, kind)
                told |= {kind} if file.name in what else set()
            else:
                assert what == right, (file, kind)
                if file.name not in LISTS:  # a list of names may be a link
                    assert found["nothing"] == right, (file, kind)
        if "." in file.name:
            (again / file).symlink_to(folder("nowhere"))
            lost = reading(name, again)
            assert lost == found["nothing"] == right or file.name in lost, file
    assert told == {*CHANGES} - {"nothing"}


def test_no_format_is_left_out():
    """Of cases in layouts.toml, of pages, of the comparison of bytes."""
    shapes = [name for name in EVERY if FORMATS[name].objects]
    assert formats_of(WITHOUT_PIXELS) == formats_of(ONE_SHAPE) == sorted(shapes)
    assert formats_of(FOUR_PARTS) == sorted(
        {*READ} - {"labelstudio", "voc"}
    )  # tasks have no parts, VOC only known ones
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|.*\| (.*?) \|$", page.split("## What a format keeps")[1], re.MULTILINE)
    assert sorted(name for name, *_ in rows) == sorted(EVERY)
    for name, objects, folders in rows:
        assert (folders == "no") == FORMATS[name].flat, name
        assert (objects != "no") == FORMATS[name].objects, name
    for name in READ:
        assert f"--from {name}" in page, name
        assert f"--to {name}" in page, name
    exports = (ROOT / "benchmarks/same_bytes.py").read_text(encoding="utf-8").split("EXPORTS = {")[1].split("}")[0]
    assert sorted(re.findall(r'"(\w+)": ', exports)) == sorted(EVERY)
