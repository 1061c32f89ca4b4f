"""The attention layers of a network. Users choose among them: all, a side of a UNet, or blocks of a transformer.

`Layer`: what an attention module attends to, and where picture and text are in its product of queries and keys.

                rows (queries)    columns (keys)
    SELF        picture           picture
    CROSS       picture           text
    JOINT       picture, text     picture, text
    TEXT_FIRST  text, picture     text, picture

Pictures that the network is shown, as in editing, have further rows and columns, which are skipped: with TEXT_FIRST
behind the picture, with DRAWN_LAST before the text.

For example, with 4 positions and 3 tokens, a JOINT product has 7 rows and 7 columns: 0 to 3 are the picture's, and 4 to
6 are the text's.

A position is one latent, or in transformers a square of several. L is the (height, width) of the lattice of positions.
A map at level d has the size L / d: for example, with L = 64 × 64 the levels 1, 2, 4, 8 have sides of 64, 32, 16, 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

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


def by_kind(choice: LayerChoice) -> dict[Kind, LayerChoice]:
    """Kind of attention → the choice of its layers: all/last → {"self": "last", "cross": "all"}."""
    of_cross, _, of_self = choice.partition("/")
    return {"self": of_self or of_cross, "cross": of_cross}


def block_numbers(choice: LayerChoice) -> frozenset[int] | None:
    """The block numbers in a choice without a slash: 0,3-5 → 0, 3, 4, 5. None for a word of SIDES. Raises UserError for
    anything else."""
    if choice in SIDES:
        return None
    numbers: set[int] = set()
    for part in choice.split(","):
        span = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part, re.ASCII)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if first > last or last >= MOST_BLOCKS:
            choices = "all, up, down or last, of a UNet, or blocks of a transformer, as 9-12 or 0,3,8-11, or CROSS/SELF"
            raise UserError("layers", f"{choice!r} must be {choices}")
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


class Spans(NamedTuple):
    """Where picture and text are in a layer's product of queries and keys."""

    queries: slice
    """The picture's rows."""
    image: slice | None
    """The picture's columns; None if the layer does not attend to the picture."""
    text: slice | None
    """The text's columns; None if the layer does not attend to the text."""


@dataclass(frozen=True)
class Layer:
    """An attention module: what the picture's positions attend to, and where they are among rows and columns."""

    kinds: tuple[Kind, ...]
    """What the picture attends to: itself, the text, or both in one softmax (joint attention)."""
    level: int = 1
    """The sides of the layer's lattice are L / level positions."""
    image_first: bool = True
    """Whether the picture's N rows and columns come before the text's; otherwise they come after them."""
    others_first: bool = False
    """Whether columns of other pictures come before the text's; otherwise they come last."""
    multiple: int = 1
    """The number of the picture's rows is padded to a multiple of this."""

    @property
    def is_joint(self) -> bool:
        """Whether picture and text attend to each other."""
        return len(self.kinds) > 1

    @property
    def is_cross(self) -> bool:
        """Whether the picture attends to the text alone, whose keys are all that there are."""
        return self.kinds == ("cross",)

    def find(self, queries: int, columns: int, positions: int, texts: int | None, others: int = 0) -> Spans | None:
        """Where picture and text are in a product; None for a product of other things. queries, columns: the product's
        numbers of rows and columns. positions: N. texts: the number of text columns in this call; None: unknown.
        others: as `Family.other_columns`."""
        picture = -(-positions // self.multiple) * self.multiple
        if self.is_cross:
            return Spans(slice(None), None, slice(None)) if queries == picture else None
        if columns < picture or queries not in (picture, columns):
            return None
        between = columns - picture - others
        if not self.is_joint:
            return Spans(slice(positions), slice(positions), None) if between == 0 else None
        if between <= 0 or (texts is not None and between != texts):
            return None
        skipped = others if self.others_first else 0
        before, text = skipped + between, slice(skipped, skipped + between)
        if self.image_first:
            before, text = 0, slice(picture, columns)
        rows = slice(positions) if queries == picture else slice(before, before + positions)
        return Spans(rows, slice(before, before + positions), text)


SELF = Layer(("self",))
CROSS = Layer(("cross",))
JOINT = Layer(("self", "cross"))
TEXT_FIRST = replace(JOINT, image_first=False)
DRAWN_LAST = replace(TEXT_FIRST, others_first=True)


def refuse_adapters(name: str, attention: Any) -> None:
    """Raise UserError for an attention module with an IP-Adapter: the adapter's attention would not be captured.
    name: the module's name."""
    if "IPAdapter" in type(attention.processor).__name__:
        problem = f"an IP-Adapter is loaded ({name}): its own attention is not captured"
        raise UserError(problem, fix="call pipe.unload_ip_adapter() first")


Grid = tuple[int, int]
"""(height, width) of a map, in positions. Positions are counted row by row."""


def grid_at(lattice: Grid, level: int) -> Grid:
    """(h, w) of a map at L / level, rounded up, as in convolutions that halve an odd side. lattice: L."""
    return -(-lattice[0] // level), -(-lattice[1] // level)


def grid_text(grid: Grid) -> str:
    """A map's size as a text: 16 if it is square, otherwise height × width such as 16 × 24."""
    height, width = grid
    return str(height) if height == width else f"{height} × {width}"
