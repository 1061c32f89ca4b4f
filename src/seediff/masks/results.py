"""`MaskResult`, the masks of one image; and results as `supervision.Detections`, for that library's annotators and
scores.
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
from ..view import Window
from .arithmetic import resize
from .quality import confidence
from .steps import MaskStep

if TYPE_CHECKING:
    from supervision import Detections


@dataclass(frozen=True, repr=False)
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
    unrefined: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 1, 1))
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
        """Class → the confidence of its mask, in [0, 1] (`confidence` in quality.py)."""
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


def as_detections(
    values: np.ndarray,
    first: int,
    names: Sequence[str],
    confidence: Sequence[float],
) -> Detections:
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
