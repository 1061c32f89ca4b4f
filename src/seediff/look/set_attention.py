"""Masks of a set's samples with other constants, made from attention that was saved or is captured again. It is quick,
because attention, soft masks and PAMR's weights stay in memory.

The steps are the same as in `masks.make_masks`, so the page shows the masks that `generate` and `mask` would write with
these constants."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Any

import msgspec
import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..config.generate_config import DatasetConfig
from ..config.method_constants import MaskConfig
from ..config.methods import METHOD_FACTS
from ..dataset.native import dataset_labels
from ..devices import cpu_threads
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.reading import fit
from ..masks.arithmetic import resize
from ..masks.make_masks import enlarge, label_pixels, make_masks, picture_to_follow, refine, soft_mask
from ..masks.pamr import pamr_weights
from ..report.explain import show_steps
from ..rows.row import said
from .attention import (
    Capturer,
    SampleAttention,
    attention_of,
    cannot_capture,
    map_for_page,
    maps_path,
    read_config,
)
from .events import Cache
from .store import Session

MEMORY = 1 << 30
"""Maximum bytes of attention in memory. The attention of the last sample stays, even if it is larger."""
CORRECTED = "A person corrected this mask; attention explains the mask before that."
UNKNOWN = "It is not known how this mask was made: masks and steps shown here use the default constants."
ALONE = threading.Lock()
"""Locked while a mask is made, because that sets torch's number of threads for the whole process."""
CACHED = 3
"""Maximum number of entries in each cache of a sample."""


class Constants(msgspec.Struct, frozen=True, kw_only=True):
    """The constants that the page can change."""

    method: str
    alpha: Annotated[float, msgspec.Meta(gt=0, le=1)]
    beta: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    pamr: bool

    def __post_init__(self) -> None:
        if self.method not in METHOD_FACTS:  # for example, a user's method whose file is not named this time
            raise ValueError(f"method {self.method!r} is not known here")

    def change(self, config: MaskConfig) -> MaskConfig:
        """A configuration with these constants. A new method also brings the other constants that its authors chose.
        Any change turns `ignore_band` off."""
        if self.values() == constants_of(config).values():
            return config
        brought = {}
        if self.method != config.method:
            brought = METHOD_FACTS[self.method].defaults.get("mask", {})
        return replace(config, **{**brought, **self.values(), "ignore_band": None})

    def values(self) -> dict[str, Any]:
        """The constants by name, without the further fields of a subclass."""
        return {name: getattr(self, name) for name in Constants.__struct_fields__}


def constants_of(config: MaskConfig) -> Constants:
    """The constants of a configuration. If each image has a threshold of its own (β = "otsu"), β is the usual 0.3."""
    beta = 0.3 if config.beta == "otsu" else config.beta
    return Constants(method=config.method, alpha=config.alpha, beta=beta, pamr=config.pamr)


class Tuner:
    """Makes masks of one sample from its attention, and keeps intermediate results for the next mask."""

    def __init__(self, attention: SampleAttention) -> None:
        self.attention = attention
        self.size = sum(tensor.nbytes for *_, tensor in attention.maps.tensors())  # bytes
        self._soft = Cache[torch.Tensor](CACHED)
        self._weights = Cache[torch.Tensor](CACHED)

    def labels(self, config: MaskConfig, ids: Mapping[str, int]) -> np.ndarray:
        """(H, W) uint8: the label map that a configuration makes. ids: class → its id in the set. Raises UserError, for
        example for a level that was not captured."""
        attention, classes = self.attention, self.attention.classes
        for name in classes:
            if name not in ids:
                raise UserError(f"class '{name}' is not a class of the set")
        # Soft masks do not depend on the threshold, unless SAM refines them. So configurations that differ only in it
        # have one key, and the first one makes the masks for all.
        key = config if config.sam else replace(config, beta=MaskConfig.beta, ignore_band=None)
        soft = self._soft.get_or_make(key, partial(self._soft_masks, config))
        class_ids = [ids[name] for name in classes]
        labels = np.full(attention.size, IGNORE, np.uint8)
        part = attention.part
        labels[part.slices] = label_pixels(soft, config, (part.height, part.width)).numpy()
        return dataset_labels(labels, class_ids)

    def _soft_masks(self, config: MaskConfig) -> torch.Tensor:
        """(C, h, w) float32: the soft mask of each class, before its threshold."""
        attention = self.attention
        seen = attention.image.shape[:2]
        masks = [soft_mask(attention.maps, name, config).soft for name in attention.classes]
        soft = enlarge(torch.stack(masks), seen, config)
        picture = picture_to_follow(attention.part_pixels, seen, config, attention.edge_megapixels)
        if picture is None:
            picture = attention.image
        return refine(picture, resize(soft, picture.shape[:2]), config, seen, self._weigh)

    def _weigh(self, picture: np.ndarray, *constants: Any) -> torch.Tensor:
        """What `pamr_weights` returns, cached by the constants, because the picture of a sample is always the same."""
        return self._weights.get_or_make(constants, partial(pamr_weights, picture, *constants))

    def steps(self, constants: Constants, name: str) -> list[dict[str, Any]]:
        """The steps of a mask in order: for each step what `map_for_page` returns, a text, and the number of the
        paper's equation. name: the class of the mask. Raises UserError for an unknown class."""
        attention = self.attention
        config = constants.change(attention.config)
        if name not in attention.classes:
            raise UserError(f"there is no class '{name}' here")
        result = make_masks(attention.image, attention.maps, attention.classes, config)
        return [
            {**map_for_page(one.name, one.pixels), "text": one.step.text, "equation": one.step.equation}
            for one in show_steps(result, name)
        ]


class SetAttention:
    """The attention of a session's samples. Its methods take the number of a sample."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._configs = cache(partial(read_config, session.dataset.folder))
        self._tuners: Cache[Tuner] = Cache(MEMORY, lambda tuner: tuner.size)
        self._capturer = Capturer()
        self._loading = threading.Lock()
        self._threads = torch.get_num_threads()

    def config(self, number: int) -> DatasetConfig | None:
        """The configuration that made a sample; None if unknown."""
        return self._configs(said(self.session.dataset.samples[number].row.made))

    def constants(self, number: int) -> tuple[Constants, str]:
        """(constants, note). constants: what made a sample's current mask, or the default constants if that is unknown.
        note: what the page says about it; "" if everything is known."""
        review, config = self.session.row(number).decided, self.config(number)
        remade = said(review.made)
        if remade is not None:
            with suppress(UserError):
                return fit(remade, Constants, "the constants"), ""
        notes = [CORRECTED] if review.corrected else []
        if config is None or remade is not None:
            notes.append(UNKNOWN)
        return constants_of(config.mask if config else MaskConfig()), " ".join(notes)

    def load(self, number: int) -> Tuner:
        """The attention of a sample. Raises UserError if it was neither saved nor captured again, or the file is
        unusable."""
        tuner = self.find(number)
        if tuner is None:
            raise UserError("no attention maps were saved; recompute them first")
        return tuner

    def find(self, number: int) -> Tuner | None:
        """The attention of a sample; None if it was neither saved nor captured again. Raises UserError for an unusable
        file."""
        with self._loading:  # otherwise two threads would read the same file
            tuner, path = self._tuners.get(number), maps_path(self.session.dataset.samples[number])
            if tuner is not None or path is None:
                return tuner
            return self._keep(number, AttentionMaps.load(path))

    def cannot_capture(self, number: int) -> str:
        """Why a sample's attention cannot be captured again; "" if it can."""
        return cannot_capture(self.session.dataset.samples[number], self.config(number))

    def capture(self, number: int) -> None:
        """Capture the attention of a sample again, and keep it in memory. This takes as long as drawing the sample.
        Raises UserError."""
        config, reason = self.config(number), self.cannot_capture(number)
        if config is None or reason:
            raise UserError(f"cannot recompute: {reason}")
        self._keep(number, self._capturer.capture(self.session.dataset.samples[number], config))

    def _keep(self, number: int, maps: AttentionMaps) -> Tuner:
        sample = self.session.dataset.samples[number]
        return self._tuners.put(number, Tuner(attention_of(sample, maps, self.config(number))))

    def make_labels(self, number: int, constants: Constants) -> np.ndarray:
        """(H, W) uint8: the label map of a sample with other constants. It is computed with as many threads as the set
        was, because rounding depends on them. Raises UserError as `load` does."""
        tuner, config = self.load(number), self.config(number)
        threads = config and config.threads
        with ALONE, cpu_threads(threads or 1, self._threads):
            return tuner.labels(constants.change(tuner.attention.config), self.session.index.ids)
