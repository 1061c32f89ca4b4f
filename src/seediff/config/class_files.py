"""Class names and prompt templates as people write them: on the command line, and in files with one in each line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar
from unicodedata import normalize

from ..errors import UserError
from ..files.reading import ABSENT, IGNORE, composed, read_lines
from .class_names import VOC_CLASSES, reserved_id

Value = TypeVar("Value")

ODD = re.compile(r"""[\W\d]+[\s.)_]|.*[\t,;:=|#"“”{}<>\[\]]""")
"""Matches what may be more than a name: numbers or signs before it, or signs that separate it from something."""
NUMBERED = re.compile(r"(.*\s)?\d+")
"""Matches a number, and a name with a number behind it. If all lines of a list do, these may be ids."""


def read_class_list(path: Path, first: int = 1, absent: str = ABSENT, *, any_name: bool = False) -> dict[int, str]:
    """Id → name, from a file with one class in each line: its name, or in every line `id name`.

        lines of the file                  ids of the names
        `7 dog`, `9 cat`                   7, 9
        `dog`, `cat`                       first, first + 1
        `background`, `dog`                0, 1, because the first name is in GROUNDS or IGNORED
        `__ignore__`, `background`, `dog`  `__ignore__` is left out, as in labelme; 0, 1 (only if `first` is not 0)

    path: the file. first: the id of the first name. absent: the problem to report if there is no file. any_name:
    whether to skip `find_odd_names`, as for the list of a dataset of SeeDiff. Raises UserError for a line that may be
    more than a name, for an empty line between names, and if two ids have the same name or two names the same id.
    """
    return parse_class_list(read_lines(path, absent=absent), path, first, any_name=any_name)


def parse_class_list(lines: Iterable[str], path: Path, first: int = 1, *, any_name: bool = False) -> dict[int, str]:
    """Id → name, from the lines of a file. The arguments are those of `read_class_list`."""
    given = [composed(line.strip()) for line in lines]
    lines = [line for line in given if line]
    matches = (re.fullmatch(r"(\d{1,5})[\s:]+(\S.*)", line) for line in lines)
    numbered = [(int(match[1]), match[2]) for match in matches if match]
    if lines and len(numbered) == len(lines):
        number = first_twice(number for number, _ in numbered)
        if number is not None:
            raise UserError(path, f"gives two classes the id {number}", "give each its own, or leave out all ids")
        names = dict(numbered)
        odd = find_odd_names([*names.values()])
        odd = odd if len(odd) == len(names) else []  # one name alone shows how all are written
    else:
        if given[: len(lines)] != lines:
            raise UserError(path, "has an empty line between names, and ids are counted by lines", "remove it")
        if first and len(lines) > 1 and lines[0] == "__ignore__":
            lines = lines[1:]
        if lines and reserved_id(lines[0]) is not None:
            first = 0
        names = dict(enumerate(lines, first))
        odd = find_odd_names(lines)
        if not odd and all(map(NUMBERED.fullmatch, lines)):
            odd = lines
    if odd and not any_name and not path.with_name("metadata.jsonl").is_file():
        fix = "write names alone, without quotes, brackets and , ; : = | #; or write `id name` in every line"
        raise UserError(path, f"{odd[0]!r} may be more than a name", fix)
    name = first_twice(names.values())
    if name is not None:
        raise UserError(path, f"gives two classes the same name, '{name}'")
    return names


def find_odd_names(names: Sequence[str]) -> list[str]:
    """The lines of a class list that may be more than a name, such as `# animals`, `dog,1` or `0 - background`."""
    return [name for name in names if ODD.match(normalize("NFKC", name)) and reserved_id(name) is None]


def first_twice(values: Iterable[Value]) -> Value | None:
    """The first value that occurs more than once; None without such a value."""
    return next((value for value, count in Counter(values).items() if count > 1), None)


def parse_classes(text: str) -> tuple[str, ...]:
    """The classes that a text stands for: `voc` → VOC's twenty classes; a file's path → its classes (`read_class_list`)
    without the background and ignored pixels; any other text → names separated by commas. Raises UserError for a file
    whose ids are not 1, 2, …, and for `all` or `voc` together with names."""
    if text.lower().endswith(".csv"):
        raise UserError(text, "is a table, which only `seediff mask` reads", "name the classes, or a file with names")
    if text.strip() == "voc":
        return VOC_CLASSES
    path = _file_of(text, (".txt", ".names"))
    if path is None:
        names = split_names(text)
        if not names:
            raise UserError(repr(text), "has no name", "write for example dog,grass,sky")
        both = [name for name in names if name in ("all", "voc") and len(names) > 1]
        if both:
            problem = f"'{both[0]}' stands for a whole list and cannot be combined with other names"
            raise UserError("classes", problem, "use it alone")
        return names
    named = sorted(read_class_list(path).items())
    classes = {number: name for number, name in named if number not in (0, IGNORE) or reserved_id(name) is None}
    if list(classes) != list(range(1, len(classes) + 1)):
        raise UserError(path, "does not number its classes 1, 2, … in order", "write just names, one per line")
    return tuple(classes.values())


def name_of_zero(text: str) -> str:
    """The name of id 0 in a file of classes. "" if the file has no id 0, and if `text` is not the path of a file."""
    path = _file_of(text, (".txt", ".names"))
    if path is None:
        return ""
    return read_class_list(path).get(0, "")


def split_names(text: str) -> tuple[str, ...]:
    """The names in a text, where commas separate them."""
    return tuple(name.strip() for name in composed(text).split(",") if name.strip())


def parse_prompts(text: str) -> tuple[str, ...]:
    """The prompt templates that a text stands for: a .txt file's path → its lines; any other text → the text itself."""
    path = _file_of(text, (".txt",))
    if path is None:
        return (text,)
    return tuple(line.strip() for line in read_lines(path) if line.strip())


def _file_of(text: str, suffixes: tuple[str, ...]) -> Path | None:
    """The path of the file that a text names; None if there is no such file. suffixes: for a text that ends with one of
    these, a missing file raises UserError."""
    path = Path(text)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):  # a long list of names is no valid path
        pass
    if text.endswith(suffixes) and "," not in text and "{class}" not in text:
        raise UserError(text, "no such file")
    return None
