"""Class names: their other words and reserved ids, names that mean the same, and names in a sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import TypeVar
from unicodedata import category, normalize

from ..errors import UserError
from ..files.reading import IGNORE, composed

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
    groups: dict[str, list[str]] = {}
    for name in classes:
        match = re.fullmatch(r"(.*[^\W\d_])[\s_-]*\d+", name)
        if match:
            groups.setdefault(match[1], []).append(name)
    pairs: list[tuple[str, str]] = []
    for stem, alike in groups.items():
        if len(alike) > 1:
            pairs += [(name, stem) for name in alike]
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


def check_meaning(
    names: Iterable[str],
    field: object = "classes",
    *,
    fix: str = "choose another name",
) -> None:
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
