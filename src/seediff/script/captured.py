"""`Captured`: the attention of a pipeline while it drew, and heat maps, masks and segments from it for any words of the
prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..attention.maps import AttentionMaps, Grid
from ..attention.plan import CapturePlan, Expected, plan_capture, plan_segments
from ..config.constants import MaskConfig, SegmentConfig
from ..config.fields import check_table
from ..config.methods import BEST
from ..errors import UserError
from ..masks.make import MaskResult, enlarge, make_masks, soft_mask
from ..models.families.readers import Reader
from ..prompts.tokens import content_words, find_columns
from .heatmap import HeatMap
from .listener import INSTRUCTION, Listener, Run, Texts

if TYPE_CHECKING:
    from ..segments.make import Segments

Phrase = str | Sequence[int]
"""A word or phrase of the prompt; or the numbers of text columns."""
Picture = Path | str | Image.Image | np.ndarray | None
"""A file's path, a Pillow picture, or (H, W, 3) uint8."""
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
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

    # What was captured

    @property
    def runs(self) -> list[range]:
        """The numbers of the pictures of each call of the pipeline."""
        ends = accumulate((run.images for run in self._runs()), initial=0)
        return [range(start, end) for start, end in pairwise(ends)]

    @property
    def prompts(self) -> list[str]:
        """The prompt of each picture; "" if only embeddings were given."""
        return [text.get("prompt", "") for run in self._runs() for text in run.texts]

    @property
    def words(self) -> list[tuple[str, ...]]:
        """For each picture, the words of its prompt that may name something. All others can be used, too."""
        return [content_words(prompt) for prompt in self.prompts]

    @property
    def pictures(self) -> list[np.ndarray | None]:
        """The pictures (H, W, 3) uint8 that the pipeline returned; None for each that it did not return."""
        return [run.pictures[i] if i < len(run.pictures) else None for run in self._runs() for i in range(run.images)]

    @property
    def maps(self) -> list[AttentionMaps]:
        """The maps of each picture, on the CPU, with the columns of `words`: to save, or for any method later. Raises
        UserError if attention was not a number.
        """
        every = []
        for number, words in enumerate(self.words):
            run, image = self._run(number)
            text = run.maps[image].cross_attention
            every.append(self._maps(number, [word for word in words if text and self._columns(number, word)]))
        return every

    def expected(self, height: int | None = None, width: int | None = None) -> Expected | None:
        """What an image of height × width pixels (by default the pipeline's own size) will hold; None if the network's
        configuration does not say."""
        factor = getattr(self._pipe, "vae_scale_factor", 8)
        side = self._family.image_side(factor, self._plan.network)
        cell = self._family.pixels(factor, self._plan.network)
        return replace(self._plan, size=((height or side) // cell, (width or height or side) // cell)).expected

    # Heat maps, masks and segments

    def heatmap(self, phrase: Phrase, image: int = 0, *, picture: Picture = None) -> HeatMap:
        """How much each place of a picture attends to a word: the mean of cross-attention over levels, layers, heads
        and steps, scaled from 0 at its lowest to 1 at its highest (method ca). image: the picture's number. picture:
        the picture, if the pipeline did not return it. Raises UserError for a word that is not in the prompt.
        """
        maps = self._maps(image, [phrase])
        shown = self._picture(image, picture)
        levels = sorted((maps.level(grid) for grid in maps.cross_attention), reverse=True)
        levels = [level for level in levels if level in HEAT_LEVELS] or levels
        config = MaskConfig(method="ca", expand_levels=tuple(levels))
        soft = soft_mask(maps, _name(phrase), config).soft
        return HeatMap(enlarge(soft[None], self._size(maps, shown), config)[0].numpy(), _name(phrase), shown)

    def masks(
        self, *phrases: Phrase, image: int = 0, picture: Picture = None, method: str | None = None, **constants: Any
    ) -> MaskResult:
        """Masks of words in one picture, from `make_masks`: label map, soft masks, flags and every step.

        picture: as in `heatmap`; PAMR follows its edges. method: by default that of `keep`, otherwise seediff, or ca
        for a model without self-attention; not best. constants: fields of MaskConfig, such as beta=0.4 or pamr=False.
        The others are the model's own if its folder has some, which were chosen for the layers that `keep=METHOD`
        captures, otherwise those of the method's paper; levels that the model lacks are replaced by the nearest.
        """
        method = method or self._method or ("ca" if self._family.no_self_attention else "seediff")
        if method == BEST:
            problem = f"{method}: needs a capture of its own, which `capture` does not have"
            raise UserError("method", problem, "use generate or mask")
        config = replace(own_constants(self._pipe, method)[0], **check_table(MaskConfig, constants, "masks"))
        config = plan_capture(self._family, self._plan.network, mask=config).mask or config
        maps, shown = self._maps(image, phrases), self._picture(image, picture)
        if shown is None and config.pamr:
            raise UserError("picture", "masks follow its edges, but the pipeline gave none", "give it, or pamr=False")
        return make_masks(shown, maps, [_name(phrase) for phrase in phrases], config, size=self._size(maps, shown))

    def segments(self, image: int = 0, *, picture: Picture = None, seed: int = 0, **constants: Any) -> Segments:
        """Segments of one picture without any words, from its self-attention of all steps (the papers look once at a
        picture without noise). constants: fields of SegmentConfig, such as method="kmeans" and k=6."""
        from ..attention.windows import Window
        from ..segments.make import join_windows, propose

        config = SegmentConfig(**check_table(SegmentConfig, constants, "segments"))
        if config.divides_features:
            problem = f"{config.method}: cuts features, but what was captured is attention"
            raise UserError("method", problem, "use diffseg or kmeans")
        if config.k == "truth":
            raise UserError("k", "truth: there are no label maps of a picture that was drawn", "give a number")
        plan_segments(self._family, self._plan.network, config, type(self._pipe).__name__)
        maps, shown = self._maps(image, ()), self._picture(image, picture)
        height, width = self._size(maps, shown)
        photo = np.zeros((height, width, 3), np.uint8) if shown is None else shown
        return join_windows(photo, [Window(0, 0, height, width)], [propose(maps, config, config.k, seed)], config)

    def __repr__(self) -> str:
        return f"<Captured of {', '.join(map(repr, self.prompts)) or 'nothing yet'}>"

    # Runs, maps and columns

    def _runs(self) -> list[Run]:
        self._listener.finish()
        return self._listener.finished

    def _run(self, image: int) -> tuple[Run, int]:
        """The run that drew a picture, and the picture's number in it."""
        for run, numbers in zip(self._runs(), self.runs, strict=True):
            if image in numbers:
                if run.error is not None:
                    raise run.error
                return run, image - numbers.start
        raise UserError("image", f"{image}: {len(self.prompts)} were drawn in the block, numbered from 0")

    def _maps(self, image: int, phrases: Sequence[Phrase]) -> AttentionMaps:
        """The maps of a picture with the columns of phrases, each of which must have some."""
        run, number = self._run(image)
        words = {_name(phrase): self._columns(image, phrase) for phrase in phrases}
        text = run.texts[number]
        for phrase in (phrase for phrase in phrases if not words[_name(phrase)]):
            if not text:
                problem, fix = "the pipeline was given no prompt, only embeddings", "capture(pipe, prompts='…')"
            elif not self._all_readers():
                problem = "which columns it has, only the tokenizer knows"
                fix = "capture(network, tokenizer=…), or name columns"
            else:
                problem = f"is not in what the model read of the prompt '{text['prompt']}'"
                raise UserError(f"'{phrase}'", problem, f"its words: {', '.join(self.words[image])}")
            raise UserError(f"'{phrase}'", problem, f"name it, {fix}")
        return replace(run.maps[number], words=words)

    def _columns(self, image: int, phrase: Phrase) -> tuple[int, ...]:
        """The text columns of a phrase; empty if it is not in what was read, or the text is not known."""
        run, number = self._run(image)
        text = run.texts[number]
        there = next((maps.shape[1] for maps in run.maps[number].cross_attention.values()), 0)
        if not there:
            raise UserError("no attention to text was captured: use keep='all', or a method of masks")
        if not isinstance(phrase, str):
            if not all(0 <= column < there for column in phrase):
                raise UserError(f"columns {tuple(phrase)} must be from 0 to {there - 1}, those of the text")
            return tuple(phrase)
        if not text:
            return ()
        if INSTRUCTION in text:
            usual = inspect.signature(type(self._pipe).__call__).parameters.get(INSTRUCTION)
            if usual is not None and text[INSTRUCTION] != "\n".join(usual.default or ()):
                problem = "words are located behind the pipeline's own alone"
                raise UserError(INSTRUCTION, problem, "leave it out, or name columns")
        found = (find_columns(reader, self._read(reader, text), phrase) for reader in self._all_readers())
        return tuple(sorted(column for column in set(chain(*found)) if column < there))

    def _parts(self) -> list[str]:
        """The pipeline's tokenizers."""
        return [name for name in TOKENIZERS if getattr(self._pipe, name, None) is not None]

    def _all_readers(self) -> Sequence[Reader]:
        """The readers of the pipeline; none for a network alone, unless its tokenizer was given."""
        if self._readers is not None:
            return self._readers
        return self._family.readers(self._pipe) if self._parts() else ()

    def _read(self, reader: Reader, text: Texts) -> str:
        """The text that a tokenizer read: `prompt_2` for the pipeline's second if that was given."""
        number = self._parts().index(reader.name) if reader.name in self._parts() else 0
        return text.get(f"prompt_{number + 1}") or text["prompt"]

    def _picture(self, image: int, picture: Picture) -> np.ndarray | None:
        if picture is None:
            return self.pictures[image]
        from ..files.photographs import read_picture

        return read_picture(np.asarray(picture.convert("RGB")) if isinstance(picture, Image.Image) else picture)

    def _size(self, maps: AttentionMaps, picture: np.ndarray | None) -> Grid:
        """(H, W) in pixels: that of the picture; without one, that of the positions (a pixel each if the pipeline does
        not say).
        """
        if picture is not None:
            return picture.shape[0], picture.shape[1]
        factor = getattr(self._pipe, "vae_scale_factor", None)
        cell = 1 if factor is None else self._family.pixels(factor, self._plan.network)
        return maps.latent_size[0] * cell, maps.latent_size[1] * cell


def own_constants(pipe: Any, method: str) -> tuple[MaskConfig, dict[str, Any]]:
    """The constants of a method for a pipeline, and the fields of the capture for which they were chosen: those of its
    model's folder if that has some, otherwise those of the method's paper, and no fields.
    """
    folder = getattr(pipe, "name_or_path", None)  # None if the pipeline was built from its parts
    if folder and (Path(folder) / "seediff.json").is_file():
        from ..config.presets import recommended_mask
        from ..models.info import read_settings

        if read_settings(Path(folder)).preset:
            own = recommended_mask(str(folder), method)
            return own.mask, {name: getattr(own.capture, name) for name in ("normalize", "layers", "mean")}
    config = MaskConfig(method=method)
    return replace(config, **config.facts.defaults.get("mask", {})), {}


def _name(phrase: Phrase) -> str:
    if isinstance(phrase, str):
        return phrase
    if not isinstance(phrase, Collection) or not all(isinstance(column, Integral) for column in phrase):
        problem = "must be a word or phrase, or the numbers of text columns"
        raise UserError(f"{phrase!r}", problem, "give words one by one: masks('dog', 'cat')")
    return f"columns {', '.join(map(str, phrase))}"
