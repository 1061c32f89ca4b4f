"""`Captured`: the attention of a pipeline while it drew, and heat maps, masks and segments from it for any words of the
prompt.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..attention.maps import AttentionMaps, Grid
from ..attention.plan import CapturePlan, Expected, plan_segments
from ..config.constants import MaskConfig, SegmentConfig
from ..config.fields import check_table
from ..config.generate_config import own_constants
from ..config.levels import check_kinds, fit_mask
from ..errors import Notice, UserError
from ..masks.clips import clip_softs
from ..masks.make_masks import MaskResult, make_masks
from ..models.families.readers import Reader
from ..prompts.tokens import content_words, find_columns, find_weight, is_divided
from .heatmap import HeatMap, Phrase, heat_sheet, phrase_name
from .listener import ENCODE, INSTRUCTION, THE_WAY, Listener, Run, Texts

if TYPE_CHECKING:
    from ..segments.make_segments import Segments

ImageInput = Path | str | Image.Image | np.ndarray | None
"""A file's path, a Pillow picture, or (H, W, 3) uint8."""
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "processor")
FACTORS = ("vae_scale_factor", "vae_scale_factor_spatial", "vae_spatial_compression_ratio")
"""Pipelines' names for the pixels per latent position."""
HEAT_LEVELS = (4, 2, 1)
"""Levels of attention in a heat map, as in method ca; if a model has none of them, all its levels are used."""


class Captured:
    """The result of `capture`. Pictures are numbered from 0 in the order in which they were drawn, over all calls of
    the pipeline in the block. It may also be used inside the block, but not while the pipeline draws.
    """

    def __init__(
        self, listener: Listener, pipe: Any, plan: CapturePlan, method: str | None, readers: Sequence[Reader] | None
    ) -> None:
        self._listener, self._pipe, self._plan, self._family = listener, pipe, plan, plan.family
        self._method, self._readers = method, readers
        self._config = getattr(pipe, plan.family.network, pipe).config
        self._factor: int | None = next((getattr(pipe, name) for name in FACTORS if hasattr(pipe, name)), None)

    # What was captured

    @property
    def image_numbers(self) -> list[range]:
        """The numbers of the pictures of each call of the pipeline."""
        ends = accumulate((run.count for run in self._runs()), initial=0)
        return [range(start, end) for start, end in pairwise(ends)]

    @property
    def clips(self) -> list[range]:
        """The numbers of the frames of each clip; empty if images were drawn."""
        clips: list[range] = []
        for run, numbers in zip(self._runs(), self.image_numbers, strict=True):
            if run.frames:
                clips += [numbers[start : start + run.frames] for start in range(0, len(numbers), run.frames)]
        return clips

    @property
    def prompts(self) -> list[str]:
        """The prompt of each picture; "" if only embeddings were given."""
        texts = chain.from_iterable(run.texts for run in self._runs())
        return [text.get("prompt", "") for text in texts]

    @property
    def words(self) -> list[tuple[str, ...]]:
        """For each picture, the words that the model read of its prompt and that may name something. All others can be
        used, too."""
        words: list[tuple[str, ...]] = []
        for run in self._runs():
            words += [self._words(run, number) for number in range(run.count)]
        return words

    @property
    def images(self) -> list[np.ndarray | None]:
        """The pictures (H, W, 3) uint8 that the pipeline returned; None for each that it did not return."""
        images: list[np.ndarray | None] = []
        for run in self._runs():
            images += [*run.images[: run.count], *[None] * (run.count - len(run.images))]
        return images

    @property
    def maps(self) -> list[AttentionMaps]:
        """The maps of each picture, on the CPU, with the columns of `words`: to save, or for any method later. Raises
        UserError if attention was not a number.
        """
        return [self._maps(number, words) for number, words in enumerate(self.words)]

    def clear(self) -> None:
        """Forget all pictures until now, which frees their maps. The next one has the number 0."""
        self._runs().clear()

    def expected(self, height: int | None = None, width: int | None = None) -> Expected | None:
        """What an image of height × width pixels (by default the pipeline's own size), or a latent frame, will hold."""
        factor = self._factor or 8
        cell = self._family.pixels(factor, self._config)
        height = height or self._family.image_side(factor, self._config)
        return replace(self._plan, size=(height // cell, (width or height) // cell)).expected

    # Heat maps, masks and segments

    def heatmap(self, phrase: Phrase, image: int | range | None = None, *, pixels: ImageInput = None) -> Any:
        """How much each place of a picture attends to a word: the mean of cross-attention over levels, layers, heads
        and steps, scaled from 0 at its lowest to 1 at its highest (method ca). image: the picture's number, -1
        the last. pixels: the picture, if the pipeline did not return it. Raises UserError for a word that is not in the
        prompt.

        image may also be one of `clips`, for a list with those of all its frames. By default it is the first clip, or
        picture 0 if there is none.
        """
        image, frames = self._chosen(image)
        heats = self._heat_maps([phrase], image, frames, pixels)
        return heats if isinstance(image, range) else heats[0]

    def heatmaps(self, *phrases: Phrase, image: int = 0, pixels: ImageInput = None) -> Image.Image:
        """One picture beside the heat maps of phrases, by default of all its `words`. image, pixels: as in `heatmap`.
        Raises UserError for a word that is not in the prompt, and without any word."""
        wanted = phrases or self._words(*self._run(image))
        if not wanted:
            raise UserError("heatmaps", "no words of a prompt are known", "name phrases, or columns")
        return heat_sheet(self._heat_maps(wanted, *self._chosen(image), pixels))

    def masks(
        self,
        *phrases: Phrase,
        image: int | range | None = None,
        pixels: ImageInput = None,
        method: str | None = None,
        **constants: Any,
    ) -> Any:
        """Masks of words in one picture, from `make_masks`: label map, soft masks, flags and every step.

        image, pixels: as in `heatmap`; PAMR follows the picture's edges, and no picture replaces a frame of a clip.
        method: by default that of `keep`, otherwise seediff, or ca for a model without self-attention; not best.
        constants: fields of MaskConfig, such as beta=0.4 or pamr=False. The others are the model's own if its folder
        has some, which were chosen for the layers that `keep=METHOD` captures, otherwise those of the method's paper;
        levels that the model lacks are replaced by the nearest.
        """
        if not phrases:
            raise UserError("masks", "there is no word", "name at least one: masks('dog', 'cat')")
        if callable(method):
            raise UserError("method", "a function needs a name", "register_method('mine', function), method='mine'")
        usual = "ca" if self._family.no_self_attention else "seediff"
        method = method or self._method or usual
        config = replace(own_constants(self._pipe, method)[0], **check_table(MaskConfig, constants, "masks"))
        check_kinds(self._family, config)
        config, _ = fit_mask(self._family, self._plan.network, config, "all")
        image, frames = self._chosen(image)
        masks = self._make(phrases, image, frames, pixels, config)
        return masks if isinstance(image, range) else masks[0]

    def segments(self, image: int = 0, *, pixels: ImageInput = None, seed: int = 0, **constants: Any) -> Segments:
        """Segments of one picture without any words, from its self-attention of all steps (the papers look once at a
        picture without noise). constants: fields of SegmentConfig, such as method="kmeans" and k=6."""
        from ..attention.windows import Window
        from ..segments.make_segments import label_photo, propose

        config = SegmentConfig(**check_table(SegmentConfig, constants, "segments"))
        if config.divides_features:
            problem = f"{config.method}: cuts features, but what was captured is attention"
            raise UserError("method", problem, "use diffseg or kmeans")
        if config.k == "truth":
            raise UserError("k", "truth: there are no label maps of a picture that was drawn", "give a number")
        plan_segments(self._family, self._plan.network, config, type(self._pipe).__name__)
        maps, shown = self._maps(image, ()), self._pixels(image, pixels)
        drawn, multiple = self._size(maps, None), self._family.multiple(self._factor or 1, self._config)
        if any(side % multiple for side in drawn):
            problem = f"{drawn[1]} × {drawn[0]}: self-attention of its levels cannot be laid over each other"
            raise UserError("picture", problem, f"draw one whose sides are multiples of {multiple}")
        height, width = self._size(maps, shown)
        blank = np.zeros((height, width, 3), np.uint8)
        proposals = propose(maps, config, config.k, seed)
        found = label_photo(blank, Window(0, 0, height, width), proposals, config)
        if len(found.scores) <= 1 and config.method == "diffseg":
            lower = f"lower kl_threshold (here {config.kl_threshold}), or use method='kmeans', k=5"
            warnings.warn(f"the picture is one segment: {lower}", Notice, stacklevel=2)
        return replace(found, pixels=shown)

    def __repr__(self) -> str:
        return f"<Captured of {', '.join(map(repr, self.prompts)) or 'nothing yet'}>"

    # Runs, maps and columns

    def _runs(self) -> list[Run]:
        return self._listener.results()

    def _run(self, image: int) -> tuple[Run, int]:
        """The run that drew a picture, and the picture's number in it."""
        image, fix = self._number(image), ""
        for run, numbers in zip(self._runs(), self.image_numbers, strict=True):
            if image in numbers:
                if run.error is not None:
                    raise run.error
                return run, image - numbers.start
        if self._listener.call is not None:
            raise UserError("image", f"{image}: is still being drawn", "ask after the pipeline's call")
        if self._listener.passed_over:
            fix = THE_WAY
        raise UserError("image", f"{image}: {len(self.prompts)} were drawn in the block, numbered from 0", fix)

    def _heat_maps(
        self, phrases: Sequence[Phrase], image: int | range, frames: range, pixels: ImageInput
    ) -> list[HeatMap]:
        """The heat maps of phrases that are asked for together, in one picture or each of a clip. image, frames: from
        `_chosen`."""
        own = self._maps(frames.start, phrases).levels("cross")
        levels = tuple(level for level in own if level in HEAT_LEVELS) or own
        config, heats = MaskConfig(method="ca", expand_levels=levels, pamr=False), list[HeatMap]()
        for mask in self._make(phrases, image, frames, pixels, config):
            for name, soft in zip(mask.classes, mask.soft, strict=True):
                heats.append(HeatMap(soft.numpy(), name, mask.pixels))
        return heats

    def _chosen(self, image: int | range | None) -> tuple[int | range, range]:
        """A picture's number or a clip, the first by default; and the clip, or the picture alone, that it is of."""
        clips = self.clips
        if image is None:
            image = clips[0] if clips else 0
        if isinstance(image, range):
            if image not in clips:
                raise UserError("image", f"{image} is none of the clips, {clips}")
            return image, image
        image = self._number(image)
        return image, next((clip for clip in clips if image in clip), range(image, image + 1))

    def _make(
        self, phrases: Sequence[Phrase], image: int | range, frames: range, pixels: ImageInput, config: MaskConfig
    ) -> list[MaskResult]:
        """Masks of a clip, or of one picture. image, frames: from `_chosen`."""
        if len(frames) > 1 and pixels is not None:
            raise UserError("pixels", "those of a clip are what the pipeline returned", "leave it out")
        first = self._maps(frames.start, phrases)
        run, start = self._run(frames.start)
        every = run.maps[start : start + len(frames)]
        latents = {id(maps): replace(maps, words=first.words) for maps in every}
        shown = [self._pixels(number, pixels) for number in frames]
        if shown[0] is None and config.pamr:
            raise UserError("pixels", "masks follow its edges, but the pipeline gave none", "give it, or pamr=False")
        names, size = [phrase_name(phrase) for phrase in phrases], self._size(first, shown[0])
        softs = clip_softs(shown, list(latents.values()), names, config, size)
        wanted = range(len(frames)) if isinstance(image, range) else [image - frames.start]
        return [make_masks(shown[i], latents[id(every[i])], names, config, size=size, soft=softs[i]) for i in wanted]

    def _number(self, image: int) -> int:
        """A picture's number, counted from the first."""
        count = len(self.prompts)
        if image in range(-count, count):
            image %= count
        return image

    def _maps(self, image: int, phrases: Sequence[Phrase]) -> AttentionMaps:
        """The maps of a picture with the columns of phrases, each of which must have some."""
        run, number = self._run(image)
        words = self._columns(run, number, phrases)
        for phrase in phrases:
            if not words[phrase_name(phrase)]:
                raise self._refusal(run, number, phrase)
        return replace(run.maps[number], words=words)

    def _columns(self, run: Run, number: int, phrases: Sequence[Phrase]) -> dict[str, tuple[int, ...]]:
        """Phrase → its text columns for a picture of a run; empty if `_refusal` says why there are none. Where phrases
        that are asked for together contain each other, the longer one has the words."""
        column_count, text = _width(run, number), run.texts[number]
        columns: dict[str, set[int]] = {}
        for phrase in phrases:
            name = phrase_name(phrase)
            columns[name] = set()
            if not isinstance(phrase, str) and {*phrase} <= {*range(column_count)}:
                columns[name] = {*phrase}
        named = [phrase for phrase in phrases if isinstance(phrase, str)]
        if named and self._why_unknown(text, column_count) is None:
            chunks = self._chunks(text, column_count)
            for reader in self._all_readers():
                # Where padding comes before a text, the text ends with the last column.
                fitted = replace(reader, end=None if reader.end is None else column_count)
                for phrase, found in find_columns(fitted, self._read(reader, text), named, chunks).items():
                    columns[phrase] |= {column for column in found if column < column_count - reader.tail}
        return {name: tuple(sorted(found)) for name, found in columns.items()}

    def _refusal(self, run: Run, number: int, phrase: Phrase) -> UserError:
        """Why a phrase has no columns."""
        column_count, text = _width(run, number), run.texts[number]
        if not column_count:
            return UserError("no attention to text was captured: use keep='all', or a method of masks")
        if not isinstance(phrase, str):
            return UserError(f"columns {tuple(phrase)} must be from 0 to {column_count - 1}, those of the text")
        why = self._why_unknown(text, column_count)
        if why is None and self._columns(run, number, [phrase])[phrase]:
            problem = f"is in the prompt '{text['prompt']}' only as part of a longer phrase that you also asked for"
            why = problem, "ask for it alone"
        if why is None:
            problem = f"is not in the prompt '{text['prompt']}', as far as the model reads it"
            why = problem, f"its words: {', '.join(self._words(run, number))}"
        return UserError(f"'{phrase}'", *why)

    def _why_unknown(self, text: Texts, column_count: int) -> tuple[str, str] | None:
        """Why the columns of no word of a text are known, and what to do; None if they are."""
        if not text:
            return "the pipeline was given no prompt, only embeddings", "name it, capture(pipe, prompt='…')"
        if not self._all_readers():
            return "only the tokenizer knows its columns", "name it, capture(network, tokenizer=…), or name columns"
        usual = inspect.signature(type(self._pipe).__call__).parameters.get(INSTRUCTION)
        if INSTRUCTION in text and usual is not None and text[INSTRUCTION] != "\n".join(usual.default or ()):
            return f"words can be located only with the pipeline's own {INSTRUCTION}", "leave it out, or name columns"
        weight = self._weight(text)
        if weight:
            return f"the prompt has a weight ('{weight}'), so its words cannot be found", "name columns"
        if not self._chunks(text, column_count):
            divided = f"the prompt '{text['prompt']}' does not say where they divide"
            problem = f"the network was given {column_count} columns, and {divided}"
            return problem, "write BREAK between its chunks, capture(pipe, prompt='… BREAK …'), or name columns"
        return None

    def _chunks(self, text: Texts, column_count: int) -> int:
        """The number of chunks in which a text was encoded, each to as many columns as a tokenizer reads; 0: not
        known."""
        readers = [(reader, reader.first) for reader in self._all_readers() if reader.first is not None]
        usual = max((first + reader.limit for reader, first in readers), default=column_count)
        is_transformer = self._family.network != "unet"
        if is_transformer and text["prompt"] in self._listener.prompts:  # encoded elsewhere
            usual = max(usual, self._family.text_columns)  # SD3 without T5 has columns that no tokenizer reads
        elif is_transformer:
            usual = column_count  # its pipeline divides no text, but may be told to read a longer one
        if column_count <= usual:
            return 1
        chunks, rest = divmod(column_count, usual)
        plain = not rest and all(first == 0 and reader.wrap is None for reader, first in readers)
        divided = plain and all(is_divided(reader, self._read(reader, text), chunks) for reader, _ in readers)
        return chunks if divided else 0

    def _weight(self, text: Texts) -> str | None:
        """A weight in a prompt for a pipeline that does not encode it as diffusers' do."""
        kind = type(self._pipe)
        encode = next((getattr(kind, name) for name in ENCODE if hasattr(kind, name)), None)
        if encode is None or encode.__module__.startswith("diffusers."):
            return None
        return find_weight(text["prompt"])

    def _words(self, run: Run, number: int) -> tuple[str, ...]:
        """The words of a prompt that may name something and have columns."""
        prompt = run.texts[number].get("prompt", "")
        return tuple(word for word, columns in self._columns(run, number, content_words(prompt)).items() if columns)

    def _tokenizers(self) -> list[str]:
        """The names of the pipeline's tokenizers."""
        return [name for name in TOKENIZERS if getattr(self._pipe, name, None) is not None]

    def _all_readers(self) -> Sequence[Reader]:
        """The readers of the pipeline; none for a network alone, unless its tokenizer was given."""
        if self._readers is not None:
            return self._readers
        return self._family.readers(self._pipe) if self._tokenizers() else ()

    def _read(self, reader: Reader, text: Texts) -> str:
        """The text that a tokenizer read: `prompt_2` for the pipeline's second if that was given."""
        number = self._tokenizers().index(reader.name) if reader.name in self._tokenizers() else 0
        return text.get(f"prompt_{number + 1}") or text["prompt"]

    def _pixels(self, image: int, pixels: ImageInput) -> np.ndarray | None:
        if pixels is None:
            return self.images[image]
        from ..files.photo_files import as_pixels

        return as_pixels(pixels)

    def _size(self, maps: AttentionMaps, pixels: np.ndarray | None) -> Grid:
        """(H, W) in pixels: that of the picture; without one, that of the positions (a pixel each if the pipeline does
        not say).
        """
        if pixels is not None:
            return pixels.shape[0], pixels.shape[1]
        cell = 1 if self._factor is None else self._family.pixels(self._factor, self._config)
        return maps.latent_size[0] * cell, maps.latent_size[1] * cell


def _width(run: Run, number: int) -> int:
    """The number of text columns of a picture's maps; 0 if there are none."""
    maps = run.maps[number].cross_attention.values() if run.maps else ()
    return next((each.shape[1] for each in maps), 0)
