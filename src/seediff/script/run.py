"""`Run`: what one call of a captured pipeline drew."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from ..attention.maps import AttentionMaps
from ..errors import UserError
from ..masks.clips import frame_weights
from .what_size import Placing
from .which_columns import ReadText
from .which_rows import Texts


@dataclass
class Run:
    """What one call of the pipeline drew, or what was drawn in the block around a network alone.

    maps, texts, widths: of each image; no texts if only its encoded text is known; widths as in `Rows`. steps: calls of
    the network with the prompt. images: (H, W, 3) uint8 each, as the pipeline returned them, if it did. placing: what
    was done to them afterwards. error: to raise when maps are requested. frames: of each clip; 0: it drew images.
    negative: the maps of the negative prompt, or why there are none.
    """

    maps: list[AttentionMaps] = field(default_factory=list)
    texts: list[Texts] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    steps: int = 0
    images: list[np.ndarray] = field(default_factory=list)
    placing: Placing = field(default_factory=Placing)
    error: UserError | None = None
    frames: int = 0
    negative: Run | UserError | None = None

    @property
    def count(self) -> int:
        return len(self.texts)

    @property
    def of_negative(self) -> Run:
        """The maps of the negative prompt. Raises UserError if there are none."""
        if self.negative is None:
            raise UserError("of", "the negative prompt was not captured", "capture(pipe, negative=True)")
        if isinstance(self.negative, UserError):
            raise self.negative
        return self.negative

    def read_text(self, number: int) -> ReadText:
        """The text of a picture, and how many columns its maps have."""
        maps = self.maps[number].cross_attention.values() if self.maps else ()
        columns = next((each.shape[1] for each in maps), 0)
        return ReadText(self.texts[number], columns, self.widths[number])

    def show_frames(self, latents: int) -> None:
        """Give each frame of the clips the text of its clip, and the maps of the nearest of its latent frames."""
        clips = len(self.texts)
        self.frames = len(self.images) // clips or latents
        near = list(product(range(clips), frame_weights(self.frames, latents).argmax(1)))
        self.texts = [self.texts[clip] for clip, _ in near]
        self.widths = [self.widths[clip] for clip, _ in near]
        self.maps = [self.maps[clip * latents + latent] for clip, latent in near if self.maps]
