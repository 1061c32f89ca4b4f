"""`MaskResult`, the masks of one image; their scores without truth, how sure a method was of a mask (`confidence`) and
whether words tell masks apart (`separation`); and results as `supervision.Detections`, for that library's annotators
and scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from ..drawing.overlays import cut_out, magnify, overlay, with_legend
from ..drawing.shown import as_html, label_legend
from ..errors import UserError
from ..files.label_maps import IGNORE, soft_levels
from ..view import Window
from .arithmetic import TINY, resize
from .steps import MaskStep

if TYPE_CHECKING:
    from supervision import Detections

SEPARATE = 0.93
"""The lowest usual `separation` of a class that was drawn."""


def confidence(labels: np.ndarray, soft: np.ndarray, class_id: int) -> float:
    """The confidence of a class, in [0, 1], to four decimals: the soft IoU of its soft mask s and its mask m,
    `Σ min(s, m) / Σ max(s, m)`. It is 1 if s is 1 inside of the mask and 0 outside.

    labels: (H, W) uint8.
    soft: the soft mask of the class, (H, W) in [0, 1]. It counts in the precision of files (`soft_levels`).
    class_id: the class's value in `labels`.

    Ignored pixels do not count. The result is 0 for a class without a pixel.
    """
    inside = labels == class_id
    levels = soft_levels(soft)
    both = levels[inside].sum(dtype=np.int64)
    either = 255 * np.count_nonzero(inside) + levels[~inside & (labels != IGNORE)].sum(dtype=np.int64)
    return round(float(both / max(either, 1)), 4)


def separation(words: torch.Tensor, masks: torch.Tensor) -> list[float]:
    """How surely words tell the masks of their classes apart, in [0, 1] for each class: the probability that a position
    of its mask gets more attention to its word than a position of another class's mask, for the other class where this
    is lowest. ½: the word makes no difference between the two masks. 0: the class has no mask.

    Only the order of values counts, so the probability means the same for all models and normalisations. Equal values
    count half. Without another class that has a mask, it is 1.

    words: (C, h, w), the attention to each class. masks: (C, H, W), 1 in the class's mask and 0 elsewhere. They are
    reduced to (h, w), where the value of a position is its share of mask, and its weight."""
    weights = resize(masks, words.shape[1:]).cpu().double().flatten(1)
    sizes = weights.sum(1, keepdim=True)
    lowest = list[float]()
    shares = weights / sizes.clamp_min(TINY)
    for number, values in enumerate(words.cpu().flatten(1)):
        ranks = values.unique(return_inverse=True)[1]
        at_rank = torch.zeros_like(shares).index_add_(1, ranks, shares)
        below = at_rank.cumsum(1) - at_rank / 2  # each class's share at lower ranks, and half of its share at this one
        above = (below * at_rank[number]).sum(1).masked_fill(sizes[:, 0] == 0, 1.0)
        above[number] = 1.0
        lowest.append(float(above.min()))
    return lowest


NO_SOFTS = torch.zeros(0, 1, 1, dtype=torch.float32, device="cpu")


@dataclass(frozen=True, repr=False, eq=False)
class MaskResult:
    """Masks of one image. Notebooks show them as a picture."""

    label_map: np.ndarray
    """(H, W) uint8, 0 = background, i + 1 = classes[i], 255 = ignore."""
    soft: torch.Tensor
    """(C, H, W) float32 in [0, 1], at the image's size. `PhotoMasker.masks` returns those of `window`, at the size at
    which they were refined: at the size of a large photograph, all of them would take hundreds of megabytes."""
    classes: tuple[str, ...]
    flags: tuple[str, ...] = ()
    """Possible problems of the masks, such as `no_seeds:dog` (rows/values.py)."""
    trace: Mapping[str, Mapping[MaskStep, torch.Tensor]] = field(default_factory=dict)
    """Class → step → the map after it."""
    pixels: np.ndarray | None = None
    """The image (H, W, 3) uint8, if it is known."""
    unrefined: torch.Tensor = NO_SOFTS
    """The soft masks (C, h, w) before PAMR and SAM, at the size at which the model drew or saw the image."""
    window: Window | None = None
    """The part of the image that `soft` shows; None: all of it."""

    def whole_soft(self, number: int) -> np.ndarray:
        """(H, W) float32: the soft mask of classes[number] at the image's size, 0 outside of `window`."""
        window = self.window or Window(0, 0, *self.label_map.shape)
        whole = np.zeros(self.label_map.shape, np.float32)
        whole[window.slices] = resize(self.soft[number], window.shape).numpy()
        return whole

    def whole_softs(self) -> Iterator[np.ndarray]:
        """The `whole_soft` of each class, one after the other to save memory."""
        return map(self.whole_soft, range(len(self.soft)))

    @cached_property
    def confidence(self) -> Mapping[str, float]:
        """Class → the confidence of its mask, in [0, 1] (`confidence`)."""
        pairs = zip(self.classes, self.whole_softs(), strict=True)
        return {name: confidence(self.label_map, soft, number) for number, (name, soft) in enumerate(pairs, 1)}

    def __repr__(self) -> str:
        legend = [text for _, text in label_legend(self.label_map, self.classes)]
        return f"<MaskResult: {', '.join([str(self.label_map.shape), *legend, *self.flags])}>"

    def _repr_html_(self) -> str:
        legend = label_legend(self.label_map, self.classes)
        return as_html(", ".join(self.classes), self.pixels, Image.fromarray(self._drawn()), legend)

    def overlay(self) -> Image.Image:
        """The picture with the masks laid over it, and their names beside it; black instead of an unknown picture. A
        small picture is enlarged."""
        return Image.fromarray(with_legend(self._drawn(), label_legend(self.label_map, self.classes)))

    def _drawn(self) -> np.ndarray:
        """As `overlay`, without names."""
        pixels = None if self.pixels is None else magnify(self.pixels, Image.Resampling.LANCZOS)
        return overlay(pixels, magnify(self.label_map, Image.Resampling.NEAREST))

    def cutout(self, name: str, *, soft: bool = False) -> Image.Image:
        """The picture in RGBA, opaque where the label map has a class, and clear elsewhere. name: the class. soft: the
        transparency is the class's soft mask instead, which is a score: the object is see-through where it is low.
        Raises UserError for a class without a mask, and if the picture is not known."""
        if name not in self.classes:
            raise UserError("cutout", f"'{name}' has no mask", f"classes: {', '.join(self.classes)}")
        if self.pixels is None:
            raise UserError("cutout", "the image is not known", "ask for masks with pixels=…")
        number = self.classes.index(name)
        return cut_out(self.pixels, self.label_map, number + 1, self.whole_soft(number) if soft else None)

    def detections(self) -> Detections:
        """The mask and box of each class with pixels, as `supervision.Detections`. Its `class_id` is the class's index
        in `classes`, its `data["class_name"]` the name, its `confidence` the one of datasets. Raises UserError if
        supervision is not installed."""
        return as_detections(self.label_map, 1, self.classes, [*self.confidence.values()])


def as_detections(values: np.ndarray, first: int, names: Sequence[str], confidence: Sequence[float]) -> Detections:
    """The mask, box and confidence of each entry with pixels. `class_id` is the entry's number from 0 on,
    `data["class_name"]` its name.

    values: (H, W) integers; entry i has the value `first` + i.
    first: the value of entry 0.
    names: each entry's name.
    confidence: each entry's confidence.
    Raises UserError if supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise UserError("detections", "need supervision", "pip install 'seediff[supervision]'") from error
    ids = [number for number in range(len(names)) if (values == first + number).any()]
    masks = np.array([values == first + number for number in ids], bool).reshape(-1, *values.shape)
    boxes = np.zeros((0, 4))
    if ids:
        boxes = supervision.mask_to_xyxy(masks)
    return supervision.Detections(
        boxes,
        masks,
        confidence=np.array([confidence[number] for number in ids], np.float32),
        class_id=np.array(ids, int),
        data={"class_name": np.array([names[number] for number in ids], dtype=str)},
    )
