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
    """What one call of the pipeline drew, or what was drawn in the block around a network alone.

    maps, texts: of each image; no texts if only its encoded text is known. steps: calls of the network with the prompt.
    images: (H, W, 3) uint8 each, as the pipeline returned them; None if it did not. placing: what was done to them
    afterwards. error: to raise when maps are requested. frames: of each clip; 0: it drew images. negative: the maps of
    the negative prompt, if they are captured. parts: of each image, those of each step or layer.
    """

    maps: list[AttentionMaps] = field(default_factory=list)
    texts: list[ReadText] = field(default_factory=list)
    steps: int = 0
    images: Sequence[np.ndarray | None] = ()
    placing: Placing = field(default_factory=Placing)
    error: UserError | None = None
    frames: int = 0
    negative: Run | None = None
    parts: list[dict[str, AttentionMaps]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.texts)

    @property
    def of_negative(self) -> Run:
        """The maps of the negative prompt. Raises UserError if there are none."""
        if self.negative is None:
            raise UserError("of", "the negative prompt was not captured", "capture(pipe, negative=True)")
        if self.negative.error is not None:
            raise self.negative.error
        return self.negative

    def take(self, maps: list[AttentionMaps]) -> None:
        """Take the maps, whose columns the texts have from now on."""
        every = chain.from_iterable(each.cross_attention.values() for each in maps)
        columns = next((each.shape[1] for each in every), 0)
        self.maps, self.texts = maps, [text._replace(columns=columns) for text in self.texts]

    def show_frames(self, frames: int, latents: int) -> None:
        """Give each of a clip's frames the text of the clip, and the maps of the nearest of its latent frames."""
        near = list(product(range(self.count), frame_weights(frames, latents).argmax(1)))
        self.frames, self.texts = frames, [self.texts[clip] for clip, _ in near]
        self.maps = [self.maps[clip * latents + latent] for clip, latent in near if self.maps]
