"""Names of classes and samples that a dataset can have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from unicodedata import category

from ..config.class_names import BACKGROUND, MAX_CLASSES
from ..errors import UserError
from ..files.reading import composed


def check_class_list(classes: Sequence[str], where: object = "classes") -> None:
    """Raises UserError unless names can be the lines of classes.txt below the background. classes: the names. where:
    the list's name in errors. (`class_names.check_classes` is stricter, for classes that a user invents.)"""
    problem = ""
    if isinstance(classes, str):
        problem = f"must be a list of names, like [{classes!r}]"
    elif len(classes) > MAX_CLASSES:
        problem = f"{len(classes)} classes; label maps hold at most {MAX_CLASSES}"
    elif len({*map(composed, classes)}) < len(classes):
        problem = f"class '{Counter(map(composed, classes)).most_common(1)[0][0]}' appears twice"
    if problem:
        raise UserError(where, problem)
    for name in classes:
        # XML and YAML cannot hold control characters, and terminals obey some
        odd = any(category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter in "\ufffe\uffff" for letter in name)
        if odd or not name or name != name.strip() or name == BACKGROUND:
            problem = (
                f"class name {name!r}: must be one printable line, without spaces around it, and not '{BACKGROUND}'"
            )
            raise UserError(where, problem)


def check_name(name: str, taken: set[str], where: object = "") -> None:
    """Adds a sample's name to `taken`. where: the sample in errors. Raises UserError if the name is there already, or
    cannot be the name of a file."""
    parts = name.split("/")
    if any(part[:1] in ("", ".") or not part.isprintable() or {"\\", ":"} & {*part} for part in parts):
        problem = f"sample name {name!r} cannot be a file name"
        raise UserError(where or "samples", problem, "no \\ or :, and no part that is empty or begins with a dot")
    if name in taken:
        raise UserError(where or "samples", f"two samples are called '{name}'")
    taken.add(name)


def flat_name(name: str) -> str:
    """The name of a sample in formats without folders: `trip/1` → `trip_1`."""
    return name.replace("/", "_")
