"""`Captured`: what `capture` gives to the script: the attention of the pipeline's network while it drew, and heat maps,
masks and segments made from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..attention.maps import AttentionMaps
from ..attention.plan import Expected
from ..config.methods import MaskConfig
from ..errors import Notice, UserError, shorten
from ..files.image_files import ImageInput
from ..files.messages import plural
from ..masks.results import MaskResult
from .pictures import Drawn, Scale
from .plan import mask_constants
from .recording import Recording
from .results import (
    HeatMap,
    divide,
    explain_mixed,
    find_heatmaps,
    find_heatmaps_apart,
    heat_sheet,
    label_words,
    segment_constants,
    soft_words,
    soft_words_of_frames,
)
from .which_columns import Phrase

if TYPE_CHECKING:
    from ..segments.make_segments import Segments

LONGEST_PROMPT = 80
MOST_PICTURES = 10
"""The longest prompt in characters, and the most pictures, that `repr` prints."""


class Captured:
    """What `capture` gives to the script. Pictures are numbered from 0 in the order in which the pipeline drew them,
    over all its calls in the block. It can be used after the block, and inside the block between two pictures.
    """

    def __init__(self, recording: Recording, method: str | None) -> None:
        self._recording = recording
        self._method = method
        self._plan = recording.recorder.plan
        self._scale = Scale.of(recording.pipe, self._plan.family)  # before the script deletes any part

    def __repr__(self) -> str:
        lines = [f"<Captured: {plural(len(self._recording.pictures), 'image')}>"]
        for number, (prompt, words) in enumerate(zip(self.prompts, self.words, strict=True)):
            lines.append(f"{number}: {shorten(prompt, LONGEST_PROMPT)!r}, words: {', '.join(words) or 'none'}")
        return "\n".join(lines[: MOST_PICTURES + 1])

    # What was captured

    @property
    def image_numbers(self) -> list[range]:
        """For each call of the pipeline, the numbers of its pictures."""
        return [*self._recording.image_numbers]

    @property
    def clips(self) -> list[range]:
        """For each clip, the numbers of its frames, which are numbered as pictures are; empty if images were drawn."""
        return [*self._recording.clips]

    @property
    def prompts(self) -> list[str]:
        """The prompt of each picture; "" if the pipeline was given only embeddings."""
        return [picture.text.prompt for picture in self._recording.pictures]

    @property
    def words(self) -> list[tuple[str, ...]]:
        """For each picture, the words of its prompt that the model read and that may name something; empty if there are
        no maps. Heat maps and masks can be made of any other word of the prompt, too."""
        return [picture.text.words for picture in self._recording.pictures]

    @property
    def images(self) -> list[np.ndarray | None]:
        """The pictures (H, W, 3) uint8 that the pipeline returned; None for a picture that it did not return."""
        return [picture.pixels for picture in self._recording.pictures]

    @property
    def maps(self) -> list[AttentionMaps]:
        """The maps of each picture, on the CPU, with the columns of its `words`: to save them, or to make masks later.
        Raises UserError for a picture without maps, for example if attention was not a number."""
        return [self._drawn(number).maps_with(words) for number, words in enumerate(self.words)]

    def clear(self) -> None:
        """Forget all pictures, and free their maps. The next picture has the number 0."""
        self._recording.clear()

    def expected(self, height: int | None = None, width: int | None = None) -> Expected:
        """The size of the maps that capture will keep of one image, or of one latent frame of a clip, and their memory.

        height, width: the image's sides in pixels; by default the sides of the model's own images. Without a width, the
        image is a square.
        """
        return self._plan.expected(self._scale.lattice_of(height, width))

    # Heat maps, masks and segments

    def heatmap(self, phrase: Phrase, image: int = 0, *, pixels: ImageInput | None = None) -> HeatMap:
        """The heat map of a word: how much each place of a picture attends to it. It is the mean of cross-attention
        over levels, layers, heads and steps (method ca), scaled from 0 at its lowest to 1 at its highest.

        phrase: a word or phrase of the prompt, or the numbers of text columns. image: the picture's number; −1 is the
        last picture. pixels: the picture, if the pipeline did not return it. Raises UserError for a word that is not in
        the prompt, and for a picture without maps.
        """
        return find_heatmaps(self._drawn(image), (phrase,), pixels)[0]

    def heatmaps(self, *phrases: Phrase, image: int = 0, pixels: ImageInput | None = None) -> Image.Image:
        """A sheet with one picture and heat maps of it.

        phrases: the words whose heat maps are in the sheet; by default all `words` of the picture. image, pixels: as in
        `heatmap`. Raises UserError for a word that is not in the prompt, and if no words of the prompt are known.
        """
        drawn = self._drawn(image)
        wanted = phrases or drawn.attention.text.words
        if not wanted:
            raise UserError("heatmaps", "no words of a prompt are known", "name phrases, or columns")
        return heat_sheet(find_heatmaps(drawn, wanted, pixels))

    def maps_apart(self, image: int = 0) -> dict[str, AttentionMaps]:
        """The maps of each step or of each layer, of one picture. Their mean is in `maps`.

        After `capture(pipe, apart="step")`: number of the step ("0", "1", …) → its maps. After `apart="layer"`: name of
        the layer → its maps. image: the picture's number. Raises UserError if the maps were not kept apart.
        """
        return self._drawn(image).maps_apart()

    def heatmaps_apart(self, phrase: Phrase, image: int = 0, *, pixels: ImageInput | None = None) -> dict[str, HeatMap]:
        """Step → the heat map of a word in this step; or layer → the heat map in this layer, for the layers that attend
        to text. Steps and layers have the names of `maps_apart`. phrase, image, pixels: as in `heatmap`. Raises
        UserError as `heatmap` and `maps_apart` do."""
        return find_heatmaps_apart(self._drawn(image), phrase, pixels)

    def masks(
        self,
        *phrases: Phrase,
        image: int = 0,
        pixels: ImageInput | None = None,
        method: str | None = None,
        **constants: Any,
    ) -> MaskResult:
        """Masks of words in one picture: a label map, soft masks, flags, and the result of every step (`MaskResult`).

        phrases: words or phrases of the prompt, or numbers of text columns. image: as in `heatmap`. pixels: the
        picture, if the pipeline did not return it, because PAMR follows its edges; not for clips. method: by default
        the method that `keep` names, or else seediff. constants: fields of MaskConfig, such as beta=0.4 or pamr=False.
        The other constants come from the model's folder, where they were chosen for the layers that `keep=METHOD`
        captures, or otherwise from the method's paper. The nearest level replaces a level that the model lacks.

        A notice says which words hardly tell their masks apart (the flag `mixed`), except for words that follow each
        other in the prompt, such as "red sofa".

        Raises UserError for a word that is not in the prompt, for a method or constant that cannot be used, and for a
        picture without maps.
        """
        drawn = self._drawn(image)
        config = self._constants(phrases, method, constants)
        softs = soft_words(drawn, phrases, config, pixels)
        result = label_words(softs, config)
        doubt = explain_mixed(drawn, softs, config)
        if doubt:
            warnings.warn(doubt, Notice, stacklevel=2)
        return result

    def doubt(self, *phrases: Phrase, image: int = 0) -> str:
        """What the notice of `masks` would say of words that hardly tell their masks apart; "" if all of them do. It
        takes no PAMR and no picture. phrases, image: as in `masks`."""
        drawn = self._drawn(image)
        config = self._constants(phrases, None, {"pamr": False, "sam": None})
        return explain_mixed(drawn, soft_words(drawn, phrases, config), config)

    def clip_masks(
        self, *phrases: Phrase, clip: int = 0, method: str | None = None, **constants: Any
    ) -> list[MaskResult]:
        """As `masks`, of each frame of a clip. clip: its number in `clips`. Raises UserError also if there is no such
        clip."""
        frames = self.clips[self._index("clip", clip, len(self.clips))]
        config = self._constants(phrases, method, constants)
        return [label_words(softs, config) for softs in soft_words_of_frames(self._drawn(frames[0]), phrases, config)]

    def _constants(self, phrases: Sequence[Phrase], method: str | None, constants: Mapping[str, Any]) -> MaskConfig:
        """The constants of `masks`. Raises UserError also if there are no phrases."""
        if not phrases:
            raise UserError("masks", "there is no word", "name at least one: masks('dog', 'cat')")
        return mask_constants(self._recording.pipe, self._plan, method or self._method or "seediff", constants)

    def segments(
        self, image: int = 0, *, pixels: ImageInput | None = None, seed: int = 0, **constants: Any
    ) -> Segments:
        """Segments of one picture without any words, from its self-attention in all steps. (The papers use one call of
        the network, with a picture without noise.)

        image, pixels: as in `heatmap`. The segments follow the picture's edges, unless edge_rounds is 0. seed: the seed
        of random choices. constants: fields of SegmentConfig, such as method="kmeans" and k=6. Raises UserError for
        constants that cannot be used, and for a picture without maps of self-attention, or without pixels.
        """
        return divide(self._drawn(image), segment_constants(constants), pixels, seed)

    # Pictures

    def _drawn(self, image: int) -> Drawn:
        """A picture by its number. Raises UserError if there is no such picture."""
        pictures = self._recording.pictures
        number = self._index("image", image, len(pictures))
        numbers = next((clip for clip in self.clips if number in clip), range(number, number + 1))
        return Drawn(self._scale, pictures[numbers.start : numbers.stop], number - numbers.start)

    def _index(self, what: str, number: int, count: int) -> int:
        """A number from 0 on. number: a negative one counts from the end: of 3, −1 is 2. Raises UserError if fewer were
        drawn. what: the subject of the message."""
        if number not in range(-count, count):
            problem = f"{number}: {count} were drawn in the block, numbered from 0"
            raise UserError(what, problem, self._recording.elsewhere)
        return int(number) % count
