"""How users choose attention layers of a network: all, a side of a UNet, or blocks of a transformer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ..errors import UserError

LayerChoice = str
"""all; up or down: a side of a UNet; last: the last layer of each block on a UNet's way up; or numbers of a
transformer's blocks from 0, such as 9-12 or 0,3,8-11. In all/last, the first choice is for cross-attention, the second
for self-attention."""
SIDES = ("all", "up", "down", "last")
"""The choices that are no block numbers."""
MOST_BLOCKS = 200
"""Block numbers must be smaller than this."""
Kind = Literal["self", "cross"]
"""Kind of attention, by what the picture attends to. self: its own positions; cross: text tokens."""
KINDS: tuple[Kind, Kind] = ("self", "cross")


def by_kind(layers: LayerChoice) -> dict[Kind, LayerChoice]:
    """Kind of attention → the choice of its layers: all/last → {"self": "last", "cross": "all"}."""
    cross, _, self_layers = layers.partition("/")
    return {"self": self_layers or cross, "cross": cross}


def block_numbers(layers: LayerChoice) -> frozenset[int] | None:
    """The block numbers in a choice without a slash: 0,3-5 → 0, 3, 4, 5. None for a word of SIDES. Raises UserError for
    anything else."""
    if layers in SIDES:
        return None
    numbers: set[int] = set()
    for part in layers.split(","):
        span = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part, re.ASCII)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if first > last or last >= MOST_BLOCKS:
            choices = "all, up, down or last, of a UNet, or blocks of a transformer, as 9-12 or 0,3,8-11, or CROSS/SELF"
            raise UserError("layers", f"{layers!r} must be {choices}")
        numbers |= {*range(first, last + 1)}
    return frozenset(numbers)


def block_names(names: Iterable[str]) -> list[list[str]]:
    """For each block of a transformer, in order, the names of its attention modules. names: all attention modules, such
    as transformer_blocks.3.attn."""
    blocks: dict[str, list[str]] = {}
    for name in names:
        stream, number, _ = name.split(".", 2)
        blocks.setdefault(f"{stream}.{number}", []).append(name)
    return list(blocks.values())
