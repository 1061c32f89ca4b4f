"""Class names: their other words and reserved ids, names that mean the same, names in a sentence, sides in them; and
class names and prompt templates as people write them, on the command line and in files with one in each line."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar
from unicodedata import category, normalize

from ..errors import UserError
from ..files.names import IGNORE, METADATA
from ..files.reading import ABSENT, composed, read_lines

Value = TypeVar("Value")
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The classes of Pascal VOC 2012, in the order of their ids from 1."""

SYNONYMS = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "minibike": "motorbike",
    "couch": "sofa",
    "tv": "tvmonitor",
    "television": "tvmonitor",
    "bike": "bicycle",
    "automobile": "car",
    "sidewalk": "pavement",
}
"""Synonym → the name that datasets use for the same class. Both are in the form of `comparison_key`."""

SPOKEN = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
"""VOC's run-together class names → the words that a text encoder knows."""

DEFAULT_PROMPTS = ("a photo of a {class}",)
"""The paper's template."""

BACKGROUND = "background"
"""The name of id 0 in classes.txt; no class may have this name."""

SEGMENT = "segment"
"""The class of segments that have no name."""

GROUNDS = (BACKGROUND, f"_{BACKGROUND}_", f"__{BACKGROUND}__")
"""Names that tools give to id 0, in any case."""
IGNORED = ("ignored", "ignore", "void", "unlabeled", "unlabelled", "__ignore__")
"""Names that tools give to pixels without a class, in any case. Exports write `ignore`."""
RESERVED = {**dict.fromkeys(GROUNDS, 0), **dict.fromkeys(IGNORED, IGNORE)}
"""Name, in small letters → the id for which tools reserve it."""

MAX_CLASSES = 254
"""Maximum number of classes: ids are 8-bit numbers, without 0 (background) and 255 (ignored pixels)."""


def spoken(class_name: str) -> str:
    """A class as words of a prompt: `pottedplant` → `potted plant`. Names that SPOKEN lacks stay as they are."""
    return SPOKEN.get(class_name, class_name)


def other_word(class_name: str) -> str:
    """The words of a prompt for VOC's name of a class: `airplane` → `aeroplane`, `tv` → `tv monitor`. "" for a class
    that SYNONYMS lacks."""
    return spoken(SYNONYMS.get(class_name.casefold(), ""))


def reading_key(class_name: str) -> str:
    """The class name in a form that is equal for names which read the same in a prompt: `Potted Plant` and
    `pottedplant` → `potted plant`. An accented letter may be one character or two."""
    return " ".join(spoken(composed(class_name).casefold()).split())


def comparison_key(name: str) -> str:
    """The class name in a form that is equal for names which datasets use for the same class: `Traffic-Light` and
    `traffic light` → `trafficlight`, `TV` → `tvmonitor`. It has lower-case letters, digits and symbols only."""
    text = normalize("NFKC", name).casefold()  # macOS writes é as two characters
    plain = "".join(c for c in text if category(c)[0] in "LMNS") or text
    return SYNONYMS.get(plain, plain)


def alike_names(classes: Iterable[str]) -> list[str]:
    """One line for each two classes that `evaluate` takes for the same class."""
    first: dict[str, str] = {}
    lines: list[str] = []
    for name in classes:
        other = first.setdefault(comparison_key(name), name)
        if other != name:
            line = f'"{other}" and "{name}" are two classes, though their names mean the same'
            lines.append(f"{line}; `seediff merge SET --rename {shlex.quote(f'{name}={other}')} --out NEW` joins them")
    return lines


def numbered_names(classes: Iterable[str]) -> list[str]:
    """One line for classes that differ in a number alone, as objects of one class do for some tools: `dog-1`, `dog-2`;
    [] if there are none."""
    matches = [re.fullmatch(r"(.*[^\W\d_])[\s_-]*\d+", name) for name in classes]
    stems = {match[0]: match[1] for match in matches if match}
    counts = Counter(stems.values())
    pairs = [(name, stem) for name, stem in stems.items() if counts[stem] > 1]
    if not pairs:
        return []
    renames = " ".join(f"--rename {shlex.quote(f'{name}={stem}')}" for name, stem in pairs[:4])
    named = ", ".join(f'"{name}"' for name, _ in pairs[:8])
    return [f"{named} differ in a number alone; `seediff merge SET {renames} --out NEW` joins such classes"]


def join_classes(classes: Sequence[str]) -> str:
    """The text that replaces `{class}` in a prompt: `(dog,)` → `dog`; `(dog, cat, bus)` → `dog, a cat and a bus`. The
    template has the first article: `a photo of a {class}`. classes: class names, or phrases with a class name."""
    *others, last = [spoken(c) for c in classes]
    return f"{', a '.join(others)} and a {last}" if others else last


def reserved_id(name: str) -> int | None:
    """The id for which tools reserve a name: 0 for a name of the background, 255 for a name of ignored pixels; None for
    any other name."""
    return RESERVED.get(name.casefold())


def check_meaning(names: Iterable[str], field: object = "classes", *, fix: str = "choose another name") -> None:
    """Raise UserError for a name that means the background or ignored pixels wherever labels are read: it can be no
    class. names: names that people give to classes. field: where they are given. fix: what to do instead."""
    meanings = {0: "the background (0)", IGNORE: "ignored pixels (255)"}
    for name in names:
        reserved = reserved_id(name)
        if reserved is not None:
            raise UserError(field, f"'{name}' means {meanings[reserved]} in labels, and cannot be a class", fix)


def check_classes(classes: Sequence[str], field: str = "classes") -> None:
    """Raise UserError if names cannot be the classes of a new dataset. There must be 1 to 254 names, each must be
    usable in a prompt, and no two may read the same in a prompt. classes: the names. field: their option, for
    messages."""
    if not classes:
        raise UserError(field, "no names given", "write for example dog,cat")
    if len(classes) > MAX_CLASSES:
        raise UserError(field, f"{len(classes)} names, but a mask of 8 bits holds at most {MAX_CLASSES} classes")
    check_meaning(classes, field)
    by_reading: dict[str, str] = {}
    for name in classes:
        if name != name.strip() or not name or not name.isprintable() or "," in name:
            raise UserError(field, f"{name!r} is empty, or has a comma, spaces at its ends or unprintable characters")
        key = reading_key(name)
        if key in by_reading:
            problem = f"{by_reading[key]!r} and {name!r} read the same in a prompt ('{key}')"
            raise UserError(field, problem, "keep one of them")
        by_reading[key] = name


OTHER_SIDE = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
OTHER_SIDE |= {other: one for one, other in OTHER_SIDE.items()}
"""A side → the other side."""
SIDE_LETTER = r"(?<![^\W_])[lrLR](?=[_\-. ])|(?<=[_\-. ])[lrLR](?![^\W_])"
"""A pattern for l or r as a part of a name, beside a separator: `l_eye`, `hand.R`."""
SIDE = re.compile(
    rf"left|right|Left|Right|LEFT|RIGHT|{SIDE_LETTER}|(?<![^\W_])[lrLR](?=[A-Z][a-z])|(?<=[a-z])[LR](?![^\W_])"
)
"""Matches what may be a side in a class's name, also in `leftleg`, `lArm` and `armL`. It is one if the name with the
other side is a class, too."""
SURE_SIDE = re.compile(
    rf"(?<![A-Za-z])(?:[Ll]eft|[Rr]ight|LEFT|RIGHT)(?![a-z])|(?<=[a-z])(?:Left|Right)(?![a-z])|{SIDE_LETTER}"
)
"""Matches what is a side without another class that proves it: left or right as a word, also in `leftArm`; l or r
beside a separator."""


def partners(classes: Sequence[str]) -> dict[str, str]:
    """Class → the class of the other side, such as `left arm` → `right arm`, for classes of which both sides exist."""
    others = {name: SIDE.sub(lambda side: OTHER_SIDE[side[0]], name) for name in classes}
    return {name: other for name, other in others.items() if other != name and other in others}


def mirrored_ids(classes: Sequence[str], count: int = 256) -> list[int]:
    """(count,): for each id from 0, its id in the mirrored picture. classes: the names of ids 1, 2, … count: the number
    of ids."""
    pairs = partners(classes)
    ids = {number: classes.index(pairs[name]) + 1 for number, name in enumerate(classes, 1) if name in pairs}
    return [ids.get(number, number) for number in range(count)]


def lone_sides(classes: Sequence[str]) -> str:
    """The classes with a side in their names whose other side is no class, as a text: `"left arm", "r_eye"`; "" without
    such classes. In a mirrored picture they would be labelled wrongly."""
    pairs = partners(classes)
    return ", ".join(f'"{name}"' for name in classes if SURE_SIDE.search(name) and name not in pairs)


def side_notes(classes: Sequence[str]) -> list[str]:
    """A line about the classes that exchange their ids in mirrored pictures; [] without such classes."""
    pairs = partners(classes)
    both = [f"{name} and {other}" for name, other in pairs.items() if classes.index(name) < classes.index(other)]
    return [f"in mirrored images, classes change sides: {', '.join(both)}"] if both else []


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


def parse_class_list(lines: Iterable[str], path: Path, first: int, *, any_name: bool) -> dict[int, str]:
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
    if odd and not any_name and not path.with_name(METADATA).is_file():
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
