"""One word for one thing: what users draw, mask and export is an image, in all that they read."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[1] / "src" / "seediff"
PICTURE = re.compile(r"\bpictures?\b|[._]pictures?$", re.I)
"""The word, also as the end of a key."""
ALLOWED = {("dataset/formats/format_table.py", "names_pictures"), ("config/names_in_texts.py", "picture")}
"""(file, match): the name of a field, and a word that says nothing in a caption."""


def strings(text):
    """All texts of a module but its docstrings. Text between the values of an f-string counts by itself."""
    nodes = [*ast.walk(ast.parse(text))]
    documented = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    constants = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in constants if id(node) not in documented]


def shown(path):
    """The texts of a file that a user may see."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return strings(text)
    if path.suffix == ".js":
        return re.findall(r"[\"'`][^\"'`]*[\"'`]", re.sub(r"(^|\s)//.*", "", text))
    return re.findall(r">([^<]+)<|(?:title|alt|placeholder|aria-label)=\"([^\"]*)", text)


def test_what_users_see_are_images():
    found, count = set(), 0
    for path in [path for path in SOURCE.rglob("*") if path.suffix in (".py", ".js", ".html", ".j2")]:
        for text in map(str, shown(path)):
            count += 1
            found |= {(path.relative_to(SOURCE).as_posix(), text) for _ in PICTURE.finditer(text)}
    strange = {(file, text) for file, text in found if not any(file == one and word in text for one, word in ALLOWED)}
    assert not strange
    assert count > 5000


def test_the_commands_speak_of_images():
    """Help is written in docstrings, from which docs/commands.md is made."""
    text = (SOURCE.parents[1] / "docs/commands.md").read_text(encoding="utf-8")
    assert not re.findall(r".*\bpictures?\b.*", text, re.I)
