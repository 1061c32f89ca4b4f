"""`Run`: what one call of a captured pipeline drew, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..attention.maps import AttentionMaps
from ..errors import UserError
from .what_size import Placing
from .which_rows import Texts

TextKind = Literal["prompt", "negative"]


class ReadText(NamedTuple):
    """A text of a picture: its prompt, or its negative prompt."""

    texts: Texts
    width: int = 0
    """The number of columns that it was encoded to, which padding may follow; 0: unknown."""
    columns: int = 0
    """The number of columns of its maps."""

    @property
    def prompt(self) -> str:
        """The text for the first encoder; empty if only embeddings were given."""
        return self.texts.get("prompt", "")


@dataclass(frozen=True)
class Attention:
    """Attention to a text of one picture, or of one frame of a clip."""

    text: ReadText
    maps: AttentionMaps
    """On the CPU, without words."""
    apart: dict[str, AttentionMaps]
    """The maps of each step or layer, if they are kept apart."""


@dataclass(frozen=True)
class Picture:
    """A picture, or a frame of a clip, and what was captured while it was drawn."""

    text: ReadText
    """The prompt."""
    prompt: Attention | UserError
    """Attention to the prompt, or why there is none."""
    negative: Attention | UserError
    """Attention to the negative prompt, or why there is none."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8; None: the pipeline did not return it."""
    placing: Placing
    """What the pipeline did to the picture after it was drawn."""

    def attention(self, of: TextKind) -> Attention:
        """Attention to one of its texts. Raises UserError if there is none."""
        found = {"prompt": self.prompt, "negative": self.negative}.get(of)
        if found is None:
            raise UserError("of", f"{of!r} must be prompt or negative")
        if isinstance(found, UserError):
            raise found
        return found


@dataclass(frozen=True)
class Run:
    """What one call of the pipeline drew, or what was drawn in the block around a network alone."""

    pictures: Sequence[Picture]
    frames: int
    """The number of frames of each clip; 1 for images."""
    steps: int
    """How often the network was called with the prompt."""
    map_bytes: int
    """Bytes of all maps."""

    @property
    def maps(self) -> list[AttentionMaps]:
        """The maps of each picture, without words. Raises UserError if there are none."""
        return [picture.attention("prompt").maps for picture in self.pictures]
