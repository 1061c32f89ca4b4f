"""`Captured`: what `capture` gives to the script: the attention of the pipeline's network while it drew, and heat maps,
masks and segments made from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from PIL import Image

from ..attention.maps import AttentionMaps, Grid
from ..attention.plan import CapturePlan, Expected, check_kinds, fit_mask, plan_segments
from ..config.fields import check_table
from ..config.method_constants import MaskConfig, SegmentConfig, reads_self_attention
from ..errors import Notice, UserError, shorten
from ..files.image_files import ImageInput, as_pixels
from ..files.messages import plural
from ..masks.make_masks import MaskResult
from .constants import heat_config, pipeline_constants
from .heatmap import HeatMap, Phrase, heat_sheet, phrase_name
from .listener import Listener
from .placement import Canvas, masks_of_frames, place_segments
from .run import Attention, Picture, Run, TextKind
from .run_recorder import THE_WAY

if TYPE_CHECKING:
    from ..segments.make_segments import Segments

FACTORS = ("vae_scale_factor", "vae_scale_factor_spatial", "vae_spatial_compression_ratio")
"""Pipelines' names for the number of pixels per latent, along a side."""
LONGEST_PROMPT, MOST_PICTURES = 80, 10
"""The longest prompt in characters, and the most pictures, that `repr` prints."""


class Captured:
    """What `capture` gives to the script. Pictures are numbered from 0 in the order in which the pipeline drew them,
    over all its calls in the block. It can be used after the block, and inside the block between two pictures, or
    between two steps of a network alone.
    """

    def __init__(self, listener: Listener, pipe: Any, plan: CapturePlan, method: str | None, shown: int = 0) -> None:
        self._listener, self._pipe, self._plan, self._family = listener, pipe, plan, plan.family
        self._method, self._shown = method, shown
        self._config = getattr(pipe, plan.family.network_part, pipe).config
        self._factor: int | None = next((getattr(pipe, name) for name in FACTORS if hasattr(pipe, name)), None)

    def __repr__(self) -> str:
        lines = [f"<Captured: {plural(len(self._pictures()), 'picture')}>"]
        for number, (prompt, words) in enumerate(zip(self.prompts, self.words, strict=True)):
            lines.append(f"{number}: {shorten(prompt, LONGEST_PROMPT)!r}, words: {', '.join(words) or 'none'}")
        return "\n".join(lines[: MOST_PICTURES + 1])

    # What was captured

    @property
    def image_numbers(self) -> list[range]:
        """For each call of the pipeline, the numbers of its pictures."""
        ends = accumulate((len(run.pictures) for run in self._runs()), initial=0)
        return [range(start, end) for start, end in pairwise(ends)]

    @property
    def clips(self) -> list[range]:
        """For each clip, the numbers of its frames, which are numbered as pictures are; empty if images were drawn."""
        clips: list[range] = []
        for run, numbers in zip(self._runs(), self.image_numbers, strict=True):
            if self._family.frames_dimension:  # the pipeline draws clips
                clips += [numbers[start : start + run.frames] for start in range(0, len(numbers), run.frames)]
        return clips

    @property
    def prompts(self) -> list[str]:
        """The prompt of each picture; "" if the pipeline was given only embeddings."""
        return [picture.prompt for picture in self._pictures()]

    @property
    def words(self) -> list[tuple[str, ...]]:
        """For each picture, the words of its prompt that the model read and that may name something; empty if there are
        no maps. Heat maps and masks can be made of any other word of the prompt, too."""
        prompts = [picture.outcomes["prompt"] for picture in self._pictures()]
        return [() if isinstance(prompt, UserError) else prompt.text.words for prompt in prompts]

    @property
    def images(self) -> list[np.ndarray | None]:
        """The pictures (H, W, 3) uint8 that the pipeline returned; None for a picture that it did not return."""
        return [picture.pixels for picture in self._pictures()]

    @property
    def maps(self) -> list[AttentionMaps]:
        """The maps of each picture, on the CPU, with the columns of its `words`: to save them, or to make masks later.
        Raises UserError for a picture without maps, for example if attention was not a number."""
        return [self._maps(number, words) for number, words in enumerate(self.words)]

    def clear(self) -> None:
        """Forget all pictures, and free their maps. The next picture has the number 0."""
        self._listener.clear()

    def expected(self, height: int | None = None, width: int | None = None) -> Expected:
        """The size of the maps that capture will keep of one image, or of one latent frame of a clip, and their memory.

        With `capture(pipe, shown=…)`, shown pictures are counted as if they had the image's size. height, width: the
        image's sides in pixels; by default the sides of the model's own images. Without a width, the
        image is a square.
        """
        factor = self._factor or 8
        cell = self._family.pixels(factor, self._config)
        height = height or self._family.image_side(factor, self._config)
        own = self._plan.expected((height // cell, (width or height) // cell), type(self._pipe).__name__)
        further = {"self": 0, "cross": self._shown}
        return replace(own, maps=tuple(one._replace(held=one.held + further[one.kind]) for one in own.maps))

    # Heat maps, masks and segments

    @overload
    def heatmap(
        self, phrase: Phrase, image: range, *, pixels: ImageInput | None = None, of: TextKind = "prompt"
    ) -> list[HeatMap]: ...

    @overload
    def heatmap(
        self,
        phrase: Phrase,
        image: int | None = None,
        *,
        pixels: ImageInput | None = None,
        of: TextKind = "prompt",
    ) -> HeatMap: ...

    def heatmap(
        self,
        phrase: Phrase,
        image: int | range | None = None,
        *,
        pixels: ImageInput | None = None,
        of: TextKind = "prompt",
    ) -> HeatMap | list[HeatMap]:
        """The heat map of a word: how much each place of a picture attends to it. It is the mean of cross-attention
        over levels, layers, heads and steps (method ca), scaled from 0 at its lowest to 1 at its highest.

        phrase: a word or phrase of the prompt, or the numbers of text columns. image: the picture's number; −1 is the
        last picture. Or one of `clips`, for a list with the heat map of each of its frames. By default the first clip
        (type checkers then expect one heat map), or picture 0 if there are no clips. pixels: the picture, if the
        pipeline did not return it. of: "negative" for a word of the negative prompt, after
        `capture(pipe, negative=True)`; "shown" for the heat map of the picture that
        the pipeline was shown, in its own size, after `capture(pipe, shown=True)`; "shown 2" for the second one.

        Raises UserError for a word that is not in the prompt, and for a picture without maps.
        """
        image = self._number_or_clip(image)
        heats = [_heats(mask)[0] for mask in self._make_masks([phrase], image, pixels, of=of)]
        return heats if isinstance(image, range) else heats[0]

    def heatmaps(self, *phrases: Phrase, image: int = 0, pixels: ImageInput | None = None) -> Image.Image:
        """A sheet with one picture and heat maps of it.

        phrases: the words whose heat maps are in the sheet; by default all `words` of the picture. image, pixels: as in
        `heatmap`. Raises UserError for a word that is not in the prompt, and if no words of the prompt are known.
        """
        wanted = phrases or self._attention(image).text.words
        if not wanted:
            raise UserError("heatmaps", "no words of a prompt are known", "name phrases, or columns")
        return heat_sheet(_heats(*self._make_masks(wanted, self._number(image), pixels)))

    def maps_apart(self, image: int = 0) -> dict[str, AttentionMaps]:
        """The maps of each step or of each layer, of one picture. Their mean is in `maps`.

        After `capture(pipe, apart="step")`: number of the step ("0", "1", …) → its maps. After `apart="layer"`: name of
        the layer → its maps. image: the picture's number. Raises UserError if the maps were not kept apart.
        """
        apart = self._attention(image).apart
        if not apart:
            raise UserError("apart", "steps and layers were not kept apart", "capture(pipe, apart='step'), or 'layer'")
        return apart

    def heatmaps_apart(self, phrase: Phrase, image: int = 0, *, pixels: ImageInput | None = None) -> dict[str, HeatMap]:
        """Step → the heat map of a word in this step; or layer → the heat map in this layer, for the layers that attend
        to text. Steps and layers have the names of `maps_apart`. phrase, image, pixels: as in `heatmap`. Raises
        UserError as `heatmap` and `maps_apart` do."""
        whole, name = self._maps(image, [phrase]), phrase_name(phrase)
        canvas = self._canvas(image, whole, pixels)
        heats: dict[str, HeatMap] = {}
        for step_or_layer, maps in self.maps_apart(image).items():
            if maps.cross_attention:
                (mask,) = masks_of_frames([maps], whole.words, [name], heat_config(maps), [canvas], range(1))
                heats[step_or_layer] = replace(_heats(mask)[0], phrase=f"{name}: {step_or_layer}")
        return heats

    @overload
    def masks(self, *phrases: Phrase, image: range, **more: Any) -> list[MaskResult]: ...

    @overload
    def masks(
        self,
        *phrases: Phrase,
        image: int | None = None,
        pixels: ImageInput | None = None,
        of: TextKind = "prompt",
        method: str | None = None,
        **constants: Any,
    ) -> MaskResult: ...

    def masks(
        self,
        *phrases: Phrase,
        image: int | range | None = None,
        pixels: ImageInput | None = None,
        of: TextKind = "prompt",
        method: str | None = None,
        **constants: Any,
    ) -> MaskResult | list[MaskResult]:
        """Masks of words in one picture: a label map, soft masks, flags, and the result of every step (`MaskResult`).

        phrases: words or phrases of the prompt, or numbers of text columns. image: as in `heatmap`: for one of `clips`,
        and by default for the first clip, a list with the masks of each of its frames. pixels: the picture, if the
        pipeline did not return it, because PAMR follows its edges; not for clips. of: as in `heatmap`; only methods
        that read cross-attention alone make masks of others than the prompt. method: by default the method that `keep`
        names; otherwise seediff, or ca for a model without self-attention, and of others than the prompt. constants:
        fields of MaskConfig, such as beta=0.4 or pamr=False. The other constants come from the model's folder, where
        they were chosen for the layers that `keep=METHOD` captures, or otherwise from the method's paper. The nearest
        level replaces a level that the model lacks.

        Raises UserError for a word that is not in the prompt, for a method or constant that cannot be used, and for a
        picture without maps.
        """
        if not phrases:
            raise UserError("masks", "there is no word", "name at least one: masks('dog', 'cat')")
        usual, own = "seediff", self._method
        if of != "prompt":  # of other texts and pictures, cross-attention alone is captured
            usual, own = "ca", None
        elif self._family.no_self_attention:
            usual = "ca"
        method = method or own or usual
        config = replace(pipeline_constants(self._pipe, method)[0], **check_table(MaskConfig, constants, "masks"))
        check_kinds(self._family, config)
        config, _ = fit_mask(self._family, self._plan.all_layers, config, "all")
        image = self._number_or_clip(image)
        masks = self._make_masks(phrases, image, pixels, config, of)
        return masks if isinstance(image, range) else masks[0]

    def segments(
        self, image: int = 0, *, pixels: ImageInput | None = None, seed: int = 0, **constants: Any
    ) -> Segments:
        """Segments of one picture without any words, from its self-attention in all steps. (The papers use one call of
        the network, with a picture without noise.)

        image, pixels: as in `heatmap`. The segments follow the picture's edges, unless edge_rounds is 0. seed: the seed
        of random choices. constants: fields of SegmentConfig, such as method="kmeans" and k=6. Raises UserError for
        constants that cannot be used, and for a picture without maps of self-attention, or without pixels.
        """
        from ..segments.make_segments import propose  # imports scipy

        config = SegmentConfig(**check_table(SegmentConfig, constants, "segments"))
        if config.divides_features:
            problem = f"{config.method}: cuts features, but what was captured is attention"
            raise UserError("method", problem, "use diffseg or kmeans")
        if config.k == "truth":
            raise UserError("k", "truth: there are no label maps of a picture that was drawn", "give a number")
        plan_segments(self._family, self._plan.all_layers, config, type(self._pipe).__name__)
        maps = self._maps(image, ())
        drawn, multiple = self._drawn(maps), self._family.multiple(self._factor or 1, self._config)
        if any(side % multiple for side in drawn):
            problem = f"{drawn[1]} × {drawn[0]}: self-attention of its levels cannot be laid over each other"
            raise UserError("picture", problem, f"draw one whose sides are multiples of {multiple}")
        canvas = self._canvas(image, maps, pixels)
        if canvas.pixels is None and config.edge_rounds:
            fix = "give it, or edge_rounds=0"
            raise UserError("pixels", "segments follow its edges, but the pipeline gave none", fix)
        found = place_segments(propose(maps, config, config.k, seed), config, canvas)
        if len(found.scores) <= 1 and config.method == "diffseg":
            lower = f"lower kl_threshold (here {config.kl_threshold}), or use method='kmeans', k=5"
            warnings.warn(f"the picture is one segment: {lower}", Notice, stacklevel=2)
        return found

    # Pictures, maps and columns

    def _runs(self) -> Sequence[Run]:
        return self._listener.finished

    def _pictures(self) -> list[Picture]:
        return [*chain.from_iterable(run.pictures for run in self._runs())]

    def _number(self, image: int) -> int:
        """A picture's number from 0 on. image: its number; a negative number counts from the end: of 3 pictures, −1
        is 2. Raises UserError if there is no such picture."""
        count, fix = len(self._pictures()), ""
        if image in range(-count, count):
            return int(image) % count
        if self._listener.ran_outside:
            fix = THE_WAY
        drawn = "1 was" if count == 1 else f"{count} were"
        raise UserError("image", f"{image}: {drawn} drawn in the block, numbered from 0", fix)

    def _attention(self, image: int, of: TextKind = "prompt") -> Attention:
        """Attention of a picture to its prompt, or to its negative prompt. Raises UserError if there are no maps."""
        return self._pictures()[self._number(image)].attention(of)

    def _number_or_clip(self, image: int | range | None) -> int | range:
        """A picture's number from 0 on, or a clip. image: as in `heatmap`. Raises UserError if there is no such picture
        or clip."""
        clips = self.clips
        if image is None:
            image = clips[0] if clips else 0
        if not isinstance(image, range):
            return self._number(image)
        if image not in clips:
            raise UserError("image", f"{image} is none of the clips, {clips}")
        return image

    def _make_masks(
        self,
        phrases: Sequence[Phrase],
        image: int | range,
        pixels: ImageInput | None,
        config: MaskConfig | None = None,
        of: TextKind = "prompt",
    ) -> list[MaskResult]:
        """The masks of each frame of a clip, or of the one picture. image: the clip, or the picture's number from 0 on.
        config: the constants; None: the constants of heat maps."""
        # 1. The wanted frames, and their whole clip, because a frame's masks are blended with the clip's other frames.
        # A picture is a clip of one frame
        wanted = image if isinstance(image, range) else range(image, image + 1)
        clip = next((clip for clip in self.clips if wanted[0] in clip), wanted)
        if len(clip) > 1 and pixels is not None:
            raise UserError("pixels", "those of a clip are what the pipeline returned", "leave it out")

        # 2. What the masks are made of. All frames of a clip have one prompt and one size: the words' columns and the
        # lattice are the first frame's
        first = self._maps(clip[0], phrases, of)
        config = config or heat_config(first)
        if of != "prompt" and reads_self_attention(config):
            whose = "the negative prompt's rows" if of == "negative" else "shown pictures"
            problem = f"{config.method}: self-attention of {whose} is not captured"
            raise UserError("method", problem, "use method='ca'")
        if of.startswith("shown"):
            if pixels is not None:
                raise UserError("pixels", "those of a shown picture are what the pipeline was given", "leave it out")
            canvases = [self._pictures()[clip[0]].shown_canvas(of, self._drawn(first), self._pipe, self._family)]
        else:
            canvases = [self._canvas(number, first, pixels) for number in clip]
        if canvases[0].pixels is None and (config.pamr or config.sam is not None):
            fix = "give it, or pamr=False without sam"
            raise UserError("pixels", "masks follow its edges, but the pipeline gave none", fix)
        maps = [self._attention(number, of).maps for number in clip]

        # 3. The masks
        names = list(map(phrase_name, phrases))
        wanted_in_clip = [clip.index(number) for number in wanted]
        return masks_of_frames(maps, first.words, names, config, canvases, wanted_in_clip)

    def _maps(self, image: int, phrases: Sequence[Phrase], of: TextKind = "prompt") -> AttentionMaps:
        """The maps of a picture with the columns of phrases. Raises UserError for a phrase without columns."""
        attention = self._attention(image, of)
        words = attention.text.find(phrases)
        for phrase in phrases:
            if not words[phrase_name(phrase)]:
                raise attention.text.refusal(phrase)
        return replace(attention.maps, words=words)

    # Pixels

    def _drawn(self, maps: AttentionMaps) -> Grid:
        """(H, W) of the drawn picture in pixels; in positions, if the pipeline does not say how many pixels a position
        has."""
        cell = 1 if self._factor is None else self._family.pixels(self._factor, self._config)
        return maps.latent_size[0] * cell, maps.latent_size[1] * cell

    def _canvas(self, image: int, maps: AttentionMaps, pixels: ImageInput | None) -> Canvas:
        """The picture in which the script wants results: the given `pixels`, or the picture that the pipeline returned.
        image: the picture's number. maps: its maps."""
        picture = self._pictures()[self._number(image)]
        shown = picture.pixels if pixels is None else as_pixels(pixels)
        sizes = [None if one is None else (one.shape[0], one.shape[1]) for one in (shown, picture.pixels)]
        return replace(picture.edits.canvas(maps.latent_size, self._drawn(maps), *sizes), pixels=shown)


def _heats(mask: MaskResult) -> list[HeatMap]:
    """The heat map of each word. mask: the words' masks."""
    return [HeatMap(soft.numpy(), name, mask.pixels) for name, soft in zip(mask.classes, mask.soft, strict=True)]
