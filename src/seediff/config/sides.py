"""Classes that change sides when a picture is mirrored: in the mirror, a left arm is a right arm."""

from __future__ import annotations

import re
from collections.abc import Sequence

SIDE = re.compile(
    r"(?<![A-Za-z])(?:[Ll]eft|[Rr]ight|LEFT|RIGHT)(?![a-z])|(?<=[a-z])(?:Left|Right)(?![a-z])"
    r"|(?<![^\W_])[lrLR](?=[_\-. ])|(?<=[_\-. ])[lrLR](?![^\W_])"
)
"""Matches a side in a class's name: left or right as a word, also in `leftArm`; l or r beside a separator."""
OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}


def other_side(name: str) -> str:
    """The name with the other side: `left arm` → `right arm`. A name without a side stays as it is."""

    def exchanged(side: re.Match[str]) -> str:
        word = OPPOSITE[side[0].lower()]
        if side[0].isupper():
            return word.upper()
        return word.capitalize() if side[0][0].isupper() else word

    return SIDE.sub(exchanged, name)


def partners(classes: Sequence[str]) -> dict[str, str]:
    """Class → the class of the other side, such as `left arm` → `right arm`, for classes of which both sides exist."""
    return {name: other_side(name) for name in classes if other_side(name) != name and other_side(name) in classes}


def mirrored_ids(classes: Sequence[str], count: int = 256) -> list[int]:
    """(count,): for each id from 0, its id in the mirrored picture. classes: the names of ids 1, 2, … count: the number
    of ids."""
    pairs = partners(classes)
    ids = {number: classes.index(pairs[name]) + 1 for number, name in enumerate(classes, 1) if name in pairs}
    return [ids.get(number, number) for number in range(count)]


def side_notes(classes: Sequence[str]) -> list[str]:
    """Lines for the user about the classes that exchange their ids in mirrored pictures, and about classes with a side
    in their name whose other side is no class."""
    pairs = partners(classes)
    both = [f"{name} and {other}" for name, other in pairs.items() if classes.index(name) < classes.index(other)]
    alone = [f'"{name}"' for name in classes if SIDE.search(name) and name not in pairs]
    lines: list[str] = []
    if both:
        lines.append(f"in mirrored pictures, classes change sides: {', '.join(both)}")
    if alone:
        lines.append(f"there is no class of the other side for {', '.join(alone)}: mirrored pictures keep the name")
    return lines
