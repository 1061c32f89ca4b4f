"""`Layer`: what an attention module attends to, and where picture and text are in its product of queries and keys.

                rows (queries)    columns (keys)
    SELF        picture           picture
    CROSS       picture           text
    JOINT       picture, text     picture, text
    TEXT_FIRST  text, picture     text, picture

Pictures that the network is shown, as in editing, have further rows and columns, which are skipped: with TEXT_FIRST
behind the picture, with DRAWN_LAST before the text.

For example, with 4 positions and 3 tokens, a JOINT product has 7 rows and 7 columns: 0 to 3 are the picture's, and 4 to
6 are the text's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ...errors import UserError
from ..layer_choice import Kind


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


SELF, CROSS, JOINT = Layer(("self",)), Layer(("cross",)), Layer(("self", "cross"))
TEXT_FIRST = replace(JOINT, image_first=False)
DRAWN_LAST = replace(TEXT_FIRST, others_first=True)


def refuse_adapters(name: str, attention: Any) -> None:
    """Raise UserError for an attention module with an IP-Adapter: the adapter's attention would not be captured.
    name: the module's name."""
    if "IPAdapter" in type(attention.processor).__name__:
        problem = f"an IP-Adapter is loaded ({name}): its own attention is not captured"
        raise UserError(f"{problem}; call pipe.unload_ip_adapter() first")
