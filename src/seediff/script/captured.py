"""`Captured`: what `capture` gives to the script: the attention of the pipeline's network while it drew, and heat maps,
masks and segments made from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..attention.plan import Expected, fit_mask, plan_segments
from ..attention.windows import PixelSize, View, view_drawn
from ..config.methods import MaskConfig, SegmentConfig
from ..config.names_in_texts import things_named
from ..config.settings import check_table
from ..errors import Notice, UserError, shorten
from ..files.image_files import ImageInput, as_pixels
from ..files.messages import plural
from ..masks.clips import clip_softs
from ..masks.make_masks import enlarge, mixed, refine_and_label, soft_masks
from ..masks.results import MaskResult
from ..masks.steps import SoftMask
from ..rows.values import BLANK, explain_flag
from .heatmap import HeatMap, heat_config, heat_sheet
from .plan import pipeline_constants
from .recording import Attention, Picture, Recording
from .which_columns import Phrase, phrase_name

if TYPE_CHECKING:
    from ..segments.make_segments import Segments

FACTORS = ("vae_scale_factor", "vae_scale_factor_spatial", "vae_spatial_compression_ratio")
"""Pipelines' names for the number of pixels per latent, along a side."""
USUAL_FACTOR = 8
"""This number for most models: `Captured.expected` takes it, if only the network is known."""
LONGEST_PROMPT = 80
MOST_PICTURES = 10
"""The longest prompt in characters, and the most pictures, that `repr` prints."""


class Softs(NamedTuple):
    """The soft masks of phrases in a picture, or in a frame of a clip."""

    view: View
    """How the picture was drawn."""
    small: Sequence[SoftMask]
    """The soft mask of each phrase, as large as its map."""
    large: torch.Tensor
    """(C, H, W): the same after `enlarge`."""


class Captured:
    """What `capture` gives to the script. Pictures are numbered from 0 in the order in which the pipeline drew them,
    over all its calls in the block. It can be used after the block, and inside the block between two pictures.
    """

    def __init__(self, recording: Recording, method: str | None) -> None:
        self._recording = recording
        self._runs = recording.runs
        self._method = method
        self._pipe = pipe = recording.pipe
        self._plan = plan = recording.recorder.plan
        self._family = plan.family
        self._config = getattr(pipe, plan.family.network_part, pipe).config
        # None: unknown, for a network alone. Then a position counts as a pixel.
        self._factor: int | None = next((getattr(pipe, name) for name in FACTORS if hasattr(pipe, name)), None)

    def __repr__(self) -> str:
        lines = [f"<Captured: {plural(len(self._pictures()), 'image')}>"]
        for number, (prompt, words) in enumerate(zip(self.prompts, self.words, strict=True)):
            lines.append(f"{number}: {shorten(prompt, LONGEST_PROMPT)!r}, words: {', '.join(words) or 'none'}")
        return "\n".join(lines[: MOST_PICTURES + 1])

    # What was captured

    @property
    def image_numbers(self) -> list[range]:
        """For each call of the pipeline, the numbers of its pictures."""
        ends = accumulate((len(run.pictures) for run in self._runs), initial=0)
        return [range(start, end) for start, end in pairwise(ends)]

    @property
    def clips(self) -> list[range]:
        """For each clip, the numbers of its frames, which are numbered as pictures are; empty if images were drawn."""
        clips: list[range] = []
        for run, numbers in zip(self._runs, self.image_numbers, strict=True):
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
        outcomes = [picture.outcome for picture in self._pictures()]
        return [() if isinstance(outcome, UserError) else outcome.text.words for outcome in outcomes]

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
        self._runs.clear()

    def expected(self, height: int | None = None, width: int | None = None) -> Expected:
        """The size of the maps that capture will keep of one image, or of one latent frame of a clip, and their memory.

        height, width: the image's sides in pixels; by default the sides of the model's own images. Without a width, the
        image is a square.
        """
        sizes = self._family.sizes(self._factor or USUAL_FACTOR, self._config)
        height = height or sizes.side
        if not height:
            raise UserError("height and width", "are needed: the model has no usual size")
        return self._plan.expected((height // sizes.position, (width or height) // sizes.position))

    # Heat maps, masks and segments

    def heatmap(self, phrase: Phrase, image: int = 0, *, pixels: ImageInput | None = None) -> HeatMap:
        """The heat map of a word: how much each place of a picture attends to it. It is the mean of cross-attention
        over levels, layers, heads and steps (method ca), scaled from 0 at its lowest to 1 at its highest.

        phrase: a word or phrase of the prompt, or the numbers of text columns. image: the picture's number; −1 is the
        last picture. pixels: the picture, if the pipeline did not return it. Raises UserError for a word that is not in
        the prompt, and for a picture without maps.
        """
        return self._heats((phrase,), image, pixels)[0]

    def heatmaps(self, *phrases: Phrase, image: int = 0, pixels: ImageInput | None = None) -> Image.Image:
        """A sheet with one picture and heat maps of it.

        phrases: the words whose heat maps are in the sheet; by default all `words` of the picture. image, pixels: as in
        `heatmap`. Raises UserError for a word that is not in the prompt, and if no words of the prompt are known.
        """
        wanted = phrases or self._attention(image).text.words
        if not wanted:
            raise UserError("heatmaps", "no words of a prompt are known", "name phrases, or columns")
        return heat_sheet(self._heats(wanted, image, pixels))

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
        whole = self._maps(image, [phrase])
        name = phrase_name(phrase)
        view = self._view(image, whole, pixels)
        heats: dict[str, HeatMap] = {}
        for step_or_layer, maps in self.maps_apart(image).items():
            if maps.cross_attention:
                config = heat_config(maps)
                (heat,) = enlarge(soft_masks(replace(maps, words=whole.words), [name], config), view, config)
                heats[step_or_layer] = HeatMap(heat.numpy(), f"{name}: {step_or_layer}", view.pixels)
        return heats

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
        the method that `keep` names; otherwise seediff, or ca for a model without self-attention. constants: fields of
        MaskConfig, such as beta=0.4 or pamr=False. The other constants come from the model's folder, where they were
        chosen for the layers that `keep=METHOD` captures, or otherwise from the method's paper. The nearest level
        replaces a level that the model lacks.

        A notice says which words hardly tell their masks apart (the flag `mixed`), except for words that follow each
        other in the prompt, such as "red sofa".

        Raises UserError for a word that is not in the prompt, for a method or constant that cannot be used, and for a
        picture without maps.
        """
        config = self._constants(phrases, method, constants)
        result = _masks(phrases, self._softs(phrases, image, pixels, config), config)
        doubt = self._doubt([name for name in result.classes if f"mixed:{name}" in result.flags], phrases, image)
        if doubt:
            warnings.warn(doubt, Notice, stacklevel=2)
        return result

    def doubt(self, *phrases: Phrase, image: int = 0) -> str:
        """What the notice of `masks` would say of words that hardly tell their masks apart; "" if all of them do. It
        takes no PAMR and no picture. phrases, image: as in `masks`."""
        config = self._constants(phrases, None, {"pamr": False})
        numbers = mixed(self._softs(phrases, image, None, config).small, config)
        return self._doubt([phrase_name(phrases[number]) for number in numbers], phrases, image)

    def _doubt(self, names: Sequence[str], phrases: Sequence[Phrase], image: int) -> str:
        """The text of `doubt`. names: those of the phrases that hardly tell their masks apart."""
        all_names = list(map(phrase_name, phrases))
        if names and len(things_named(self._attention(image).text.prompt, all_names)) == len(all_names):
            return f"{', '.join(names)}: {explain_flag('mixed')}"
        return ""

    def clip_masks(
        self, *phrases: Phrase, clip: int = 0, method: str | None = None, **constants: Any
    ) -> list[MaskResult]:
        """As `masks`, of each frame of a clip. clip: its number in `clips`. Raises UserError also if there is no such
        clip."""
        frames = self.clips[self._index("clip", clip, len(self.clips))]
        config = self._constants(phrases, method, constants)
        return [_masks(phrases, of_frame, config) for of_frame in self._softs_of_clip(phrases, frames, config)]

    def _constants(self, phrases: Sequence[Phrase], method: str | None, constants: dict[str, Any]) -> MaskConfig:
        """The constants of `masks`. Raises UserError also if there are no phrases."""
        if not phrases:
            raise UserError("masks", "there is no word", "name at least one: masks('dog', 'cat')")
        method = method or self._method or "seediff"
        config = replace(pipeline_constants(self._pipe, method)[0], **check_table(MaskConfig, constants, "masks"))
        return fit_mask(self._family, self._plan.all_layers, config, "all")[0]

    def segments(
        self, image: int = 0, *, pixels: ImageInput | None = None, seed: int = 0, **constants: Any
    ) -> Segments:
        """Segments of one picture without any words, from its self-attention in all steps. (The papers use one call of
        the network, with a picture without noise.)

        image, pixels: as in `heatmap`. The segments follow the picture's edges, unless edge_rounds is 0. seed: the seed
        of random choices. constants: fields of SegmentConfig, such as method="kmeans" and k=6. Raises UserError for
        constants that cannot be used, and for a picture without maps of self-attention, or without pixels.
        """
        from ..segments.make_segments import label_view, propose  # imports scipy

        config = SegmentConfig(**check_table(SegmentConfig, constants, "segments"))
        if "timestep" in constants:
            raise UserError("timestep", "what was captured is of all steps", "leave it out")
        if config.divides_features:
            problem = f"{config.method}: cuts features, but what was captured is attention"
            raise UserError("method", problem, "use diffseg or kmeans")
        k = config.known_k()
        plan_segments(self._family, self._plan.all_layers, config, type(self._pipe).__name__)
        maps = self._maps(image, ())
        drawn = self._drawn(maps)
        multiple = self._family.sizes(self._factor or 1, self._config).multiple
        if any(side % multiple for side in drawn):
            problem = f"{drawn[1]} × {drawn[0]}: self-attention of its levels cannot be laid over each other"
            raise UserError("image", problem, f"draw one whose sides are multiples of {multiple}")
        view = self._view(image, maps, pixels)
        if view.pixels is None and config.edge_rounds:
            fix = "give it, or edge_rounds=0"
            raise UserError("pixels", "segments follow its edges, but the pipeline gave none", fix)
        found = replace(label_view(view, propose(maps, config, k, seed), config), flags=_blank(view))
        if len(found.scores) <= 1 and config.method == "diffseg":
            lower = f"lower kl_threshold (here {config.kl_threshold}), or use method='kmeans', k=5"
            warnings.warn(f"the image is one segment: {lower}", Notice, stacklevel=2)
        return found

    # Pictures, maps and columns

    def _pictures(self) -> list[Picture]:
        return [*chain.from_iterable(run.pictures for run in self._runs)]

    def _number(self, image: int) -> int:
        """A picture's number from 0 on. Raises UserError if there is no such picture."""
        return self._index("image", image, len(self._pictures()))

    def _index(self, what: str, number: int, count: int) -> int:
        """A number from 0 on. number: a negative one counts from the end: of 3, −1 is 2. Raises UserError if fewer were
        drawn. what: the subject of the message."""
        if number not in range(-count, count):
            problem = f"{number}: {count} were drawn in the block, numbered from 0"
            raise UserError(what, problem, self._recording.elsewhere)
        return int(number) % count

    def _attention(self, image: int) -> Attention:
        """Attention of a picture to its prompt. Raises UserError if there are no maps."""
        outcome = self._pictures()[self._number(image)].outcome
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    def _heats(self, phrases: Sequence[Phrase], image: int, pixels: ImageInput | None) -> list[HeatMap]:
        """The heat map of each phrase."""
        softs = self._softs(phrases, image, pixels, heat_config(self._maps(image, phrases)))
        heats = zip(phrases, softs.large, strict=True)
        return [HeatMap(heat.numpy(), phrase_name(phrase), softs.view.pixels) for phrase, heat in heats]

    def _softs(self, phrases: Sequence[Phrase], image: int, pixels: ImageInput | None, config: MaskConfig) -> Softs:
        """The soft masks of phrases in a picture, or in a frame of a clip."""
        number = self._number(image)
        maps = self._maps(image, phrases)
        clip = next((clip for clip in self.clips if number in clip), ())
        if len(clip) < 2:
            view = self._view(number, maps, pixels, config)
            softs = soft_masks(maps, list(map(phrase_name, phrases)), config)
            return Softs(view, softs, enlarge(softs, view, config))
        if pixels is not None:
            raise UserError("pixels", "those of a clip are what the pipeline returned", "leave it out")
        return self._softs_of_clip(phrases, clip, config)[clip.index(number)]

    def _softs_of_clip(self, phrases: Sequence[Phrase], clip: Sequence[int], config: MaskConfig) -> list[Softs]:
        """The soft masks of phrases in each frame of a clip. clip: the frames' numbers. All frames have one prompt and
        one size: the words' columns and the lattice are the first frame's."""
        first = self._maps(clip[0], phrases)
        views = [self._view(number, first, None, config) for number in clip]
        maps = [self._attention(number).maps for number in clip]
        softs = clip_softs(views, maps, first.words, list(map(phrase_name, phrases)), config)
        return [Softs(view, *of_frame) for view, of_frame in zip(views, softs, strict=True)]

    def _maps(self, image: int, phrases: Sequence[Phrase]) -> AttentionMaps:
        """The maps of a picture with the columns of phrases. Raises UserError for a phrase without columns."""
        attention = self._attention(image)
        words = attention.text.find(phrases)
        for phrase in phrases:
            if not words[phrase_name(phrase)]:
                raise attention.text.refusal(phrase)
        return replace(attention.maps, words=words)

    # Pixels

    def _drawn(self, maps: AttentionMaps) -> PixelSize:
        """(H, W) of the drawn picture in pixels; in positions, if the pipeline does not say how many pixels a position
        has."""
        cell = 1 if self._factor is None else self._family.sizes(self._factor, self._config).position
        return maps.latent_size[0] * cell, maps.latent_size[1] * cell

    def _view(
        self, image: int, maps: AttentionMaps, pixels: ImageInput | None, config: MaskConfig | None = None
    ) -> View:
        """The picture in which the script wants results: the given `pixels`, or the picture that the pipeline returned.
        image: the picture's number. maps: its maps. config: the constants of masks, if there are masks. Raises
        UserError if they follow the edges of a picture that is not known."""
        shown = self._pictures()[self._number(image)].pixels if pixels is None else as_pixels(pixels)
        if shown is None and config is not None and (config.pamr or config.sam is not None):
            fix = "give it, or pamr=False without sam"
            raise UserError("pixels", "masks follow its edges, but the pipeline gave none", fix)
        drawn = self._drawn(maps)
        size = drawn if shown is None else (shown.shape[0], shown.shape[1])
        return view_drawn(maps.latent_size, drawn, size, shown, may_cut=pixels is None)


def _masks(phrases: Sequence[Phrase], softs: Softs, config: MaskConfig) -> MaskResult:
    """The masks of phrases in a picture, from their soft masks."""
    masks = refine_and_label(softs.view, list(map(phrase_name, phrases)), softs.small, softs.large, config)
    return replace(masks, flags=(*masks.flags, *_blank(softs.view)))


def _blank(view: View) -> tuple[str, ...]:
    """The flag BLANK for a black picture, as a safety checker leaves it; otherwise empty."""
    return (BLANK,) if view.pixels is not None and not view.pixels.any() else ()
