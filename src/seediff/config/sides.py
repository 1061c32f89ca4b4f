"""The classes that change sides when a picture is mirrored: in the mirror, a left arm is a right arm."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
