"""`Run`: what one call of a captured pipeline drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, product

import numpy as np

from ..attention.maps import AttentionMaps
from ..errors import UserError
from ..masks.clips import frame_weights
from .what_size import Placing
from .which_rows import ReadText


@dataclass
class Run:
    """What one call of the pipeline drew, or what was drawn in the block around a network alone."""

    maps: list[AttentionMaps] = field(default_factory=list)
    """The maps of each picture, or latent frame."""
    texts: list[ReadText] = field(default_factory=list)
    """The text of each picture."""
    steps: int = 0
    """How often the network was called with the prompt."""
    images: Sequence[np.ndarray | None] = ()
    """The pictures (H, W, 3) uint8 that the pipeline returned; None for each that it did not return."""
    placing: Placing = field(default_factory=Placing)
    """What the pipeline did to the pictures after they were drawn."""
    error: UserError | None = None
    """The error to raise when maps are requested."""
    frames: int = 0
    """The number of frames of each clip; 0: the run drew images."""
    negative: Run | None = None
    """What was captured of the negative prompt, if it is captured."""
    maps_apart: list[dict[str, AttentionMaps]] = field(default_factory=list)
    """For each picture, the maps of each step or layer, if they are kept apart."""

    @property
    def count(self) -> int:
        """The number of pictures."""
        return len(self.texts)

    @property
    def of_negative(self) -> Run:
        """The run of the negative prompt. Raises UserError if it has no maps."""
        if self.negative is None:
            raise UserError("of", "the negative prompt was not captured", "capture(pipe, negative=True)")
        if self.negative.error is not None:
            raise self.negative.error
        return self.negative

    def take(self, maps: list[AttentionMaps]) -> None:
        """Take the maps, and note in the texts how many columns they have."""
        every = chain.from_iterable(each.cross_attention.values() for each in maps)
        columns = next((each.shape[1] for each in every), 0)
        self.maps, self.texts = maps, [text._replace(columns=columns) for text in self.texts]

    def show_frames(self, frames: int, latents: int) -> None:
        """Give each of a clip's frames the text of the clip, and the maps of the nearest of its latent frames."""
        near = list(product(range(self.count), frame_weights(frames, latents).argmax(1)))
        self.frames, self.texts = frames, [self.texts[clip] for clip, _ in near]
        self.maps = [self.maps[clip * latents + latent] for clip, latent in near if self.maps]
