"""The steps of a mask, by name: what a trace maps to pictures. On disk and in reports a step is its text, such as `expansion L/2`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from ..config.levels import level_name

Kind = Literal[
    "cross_attention",
    "self-attention product",
    "seeds",
    "expansion",
    "expansion mean",
    "background seeds",
    "background",
    "visible",
    "final",
    "before PAMR",
]


@dataclass(frozen=True)
class Step:
    """kind: what was done. level: at L / this, where a method does it at several. number: which of several alike, from 1."""

    kind: Kind
    level: int | None = None
    number: int | None = None

    def __str__(self) -> str:
        number = [] if self.number is None else [str(self.number)]
        return " ".join([self.kind, *number, *([] if self.level is None else [level_name(self.level)])])

    @classmethod
    def parse(cls, text: str) -> Step:
        """The step of a text that `str` gave. The kind may be one that this version does not know."""
        found = re.fullmatch(r"(.+?)(?: ([1-9]\d{0,8}))?(?: (L)(?:/([1-9]\d{0,8}))?)?", text, re.DOTALL)
        if found is None:
            raise ValueError("a step has no name")
        kind, number, at_level, level = found.groups()
        return cls(cast(Kind, kind), int(level or 1) if at_level else None, int(number) if number else None)


BEFORE_PAMR = Step("before PAMR")
"""The last step of a trace when PAMR runs: what it starts from, at the image's size."""
