"""Names for segments that were found without any class: each is called by the word that its positions attend to.

DiffSeg's extension (spec: DiffSeg, step 4): the photograph is shown to the UNet once more, at the same noise level and with a sentence
that holds the candidate words, and every segment takes the word whose cross-attention is highest in it.

Shape letters: S segments, C names, R side of a map, N = R·R positions, T tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    pass

Vote = Literal["mean", "majority"]


class SegmentName(NamedTuple):
    """What a segment is called; None: nothing fits. score: of the best word in [0, 1], whether it reached the threshold or not."""

    name: str | None
    score: float
