"""Classes that change sides when a picture is mirrored: in the mirror, a left arm is a right arm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..errors import UserError

SIDE = re.compile(
    r"(?<![A-Za-z])(?:[Ll]eft|[Rr]ight|LEFT|RIGHT)(?![a-z])|(?<=[a-z])(?:Left|Right)(?![a-z])"
    r"|(?<![^\W_])[lrLR](?=[_\-. ])|(?<=[_\-. ])[lrLR](?![^\W_])"
)
"""Matches what is surely a side in a class's name: left or right as a word, also in `leftArm`; l or r beside a
separator."""
WORDS = (
    "left right lh rh lhs rhs lt rt lft rgt link recht gauche droite gauche droit izquierd derech izq "
    "der sinistr destr sx dx esquerd direit esq dir vänster höger venstre højre venstre høyre vasen "
    "oikea lewy prawy lewa prawa lewe prawe levý pravý levá pravá levé pravé лев прав лів прав αριστερ "
    "δεξι αριστερό δεξί sol sağ bal jobb kiri kanan trái phải sinist dext 左 右 왼 오른 좌 우 ซ้าย ขวา يسار "
    "يمين أيسر أيمن يسرى يمنى چپ راست שמאל ימין बायां दायां बाएं दाएं l r"
).split()
"""Words and stems for left and right by turns, in several languages. Those of up to three Latin letters count only as
parts of a name, such as `lh` in `ctx-lh`."""
LETTER = (
    r"(?<![^\W_])[lr](?![^\W_])|(?-i:(?<![^\W_])[lrLR](?=[A-Z][a-z])|(?<=[a-z])[LR](?![^\W_]))"
    r"|(?<![^\W_])[lr](?=(?:arm|leg|hand|foot|feet|eye|eyebrow|brow|ear|cheek|shoulder|elbow|wrist|finger|thumb|hip|knee"
    r"|thigh|calf|ankle|toe|shoe|sock|glove|lung|kidney|breast|wing|wheel|door)s?(?![^\W\d_]))"
)
"""A pattern for l or r as a side: a part of its own, as in `lArm` or `armL`, or before a word such as `arm`."""


def other_sides(name: str) -> Iterator[str]:
    """The name with the other side, for each pair of words in it: `left arm` → `right arm`."""

    def exchanged(side: re.Match[str]) -> str:
        word = {other: one}.get(side[0].casefold(), other)
        if side[0].isupper():
            return word.upper()
        if side[0][0].isupper():
            return word.capitalize()
        return word

    for one, other in zip(WORDS[::2], WORDS[1::2], strict=True):
        pattern = f"{one}|{other}"
        if one == "l":
            pattern = LETTER
        elif len(one) < 4 and one.isascii():
            pattern = rf"(?<![^\W_])(?:{pattern})(?![^\W_])"
        if one in name.casefold() or other in name.casefold():
            yield re.sub(pattern, exchanged, name, flags=re.IGNORECASE)


def partners(classes: Sequence[str], mirror: Sequence[str] = ()) -> dict[str, str]:
    """Class → the class of the other side, such as `left arm` → `right arm`, for classes of which both sides exist. L
    and R are no sides beside other letters. mirror: further pairs, such as `port=starboard`; `L=L` makes no pair.
    Raises UserError for a pair of other names."""
    pairs: dict[str, str] = {}
    for text in mirror:
        one, _, other = (name.strip() for name in text.partition("="))
        if not {one, other} <= {*classes} or {one, other} & {*pairs}:
            raise UserError("mirror", f"{text!r} must be two classes, each in one pair", "write it as 'larm=rarm'")
        pairs |= {one: other, other: one}
    letters = {name for name in classes if len(name) == 1 and name.isascii()}
    if letters <= {*"lrLR"}:
        letters.clear()
    for name in classes:
        for other in other_sides(name):
            if name not in letters and other != name and other in classes and not {name, other} & {*pairs}:
                pairs |= {name: other, other: name}
    return pairs


def mirrored_ids(classes: Sequence[str], count: int = 256, mirror: Sequence[str] = ()) -> list[int]:
    """(count,): for each id from 0, its id in the mirrored picture. classes: the names of ids 1, 2, … count: the number
    of ids. mirror: as for `partners`."""
    pairs = partners(classes, mirror)
    ids = {number: classes.index(pairs[name]) + 1 for number, name in enumerate(classes, 1) if name in pairs}
    return [ids.get(number, number) for number in range(count)]


def side_notes(classes: Sequence[str], mirror: Sequence[str] = ()) -> list[str]:
    """Lines for the user about the classes that exchange their ids in mirrored pictures, and about classes with a side
    in their name whose other side is no class. mirror: as for `partners`."""
    pairs = partners(classes, mirror)
    both = [f"{name} and {other}" for name, other in pairs.items() if classes.index(name) < classes.index(other)]
    alone = [f'"{name}"' for name in classes if SIDE.search(name) and name not in pairs]
    lines: list[str] = []
    if both:
        lines.append(f"in mirrored images, classes change sides: {', '.join(both)}")
    if alone:
        lines.append(f"there is no class of the other side for {', '.join(alone)}: mirrored images keep the name")
    return lines
