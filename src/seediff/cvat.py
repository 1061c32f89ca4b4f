"""Puts masks into CVAT: a function for its `auto-annotate` (pip install cvat-cli; docs/correct.md).

cvat-cli task auto-annotate 7 --function-module seediff.cvat -p model=str:sd1.5 -p classes=str:dog,cat
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .errors import UserError
from .models.registry import load_model
from .script.single_image import mask


class Masks:
    """CVAT's detection function: one mask for each class that a picture shows.

    model: as for `seediff.mask`. classes: names of the task's labels. options: further arguments of `seediff.mask`,
    such as method or presence.
    """

    def __init__(self, model: str, classes: Sequence[str], options: dict[str, Any]) -> None:
        from cvat_sdk import auto_annotation  # pyright: ignore[reportMissingImports]

        self.cvat, self.classes, self.options = auto_annotation, classes, options
        labels = [auto_annotation.label_spec(name, number, type="mask") for number, name in enumerate(classes)]
        self.spec = auto_annotation.DetectionFunctionSpec(labels=labels)
        self.model = load_model(model)

    def detect(self, context: Any, image: Image.Image) -> list[Any]:
        """The masks of a picture as CVAT shapes. Ignored pixels are in no mask. context: the options of
        `auto-annotate`. --conf-threshold sets `presence`; --conv-mask-to-poly raises UserError."""
        if context.conv_mask_to_poly:
            raise UserError("conv-mask-to-poly", "polygons lose pixels of masks", "leave it out")
        options = dict(self.options)
        if context.conf_threshold is not None:
            options["presence"] = context.conf_threshold
        labels = mask(image, self.classes, model=self.model, **options).label_map
        masks = [labels == number + 1 for number in range(len(self.classes))]
        return [self.cvat.mask(number, encode(inside)) for number, inside in enumerate(masks) if inside.any()]


def create(*, model: str = "", classes: str = "", **options: Any) -> Masks:
    """The detection function, with the values of `-p`; CVAT calls `create`. model: as for `seediff.mask`. classes:
    names of the task's labels, separated by commas, because CVAT does not say which labels the task has. options:
    further arguments of `seediff.mask`. Raises UserError for a missing value."""
    names = [name.strip() for name in classes.split(",") if name.strip()]
    for name, value, example in (("model", model, "sd1.5"), ("classes", names, "dog,cat")):
        if not value:
            raise UserError(name, "is missing", f"-p {name}=str:{example}")
    return Masks(model, names, options)


def encode(inside: np.ndarray) -> list[int]:
    """The numbers by which CVAT stores a mask (H, W) bool, which must not be empty. First come the lengths of runs in
    the mask's box, row by row: outside, inside, outside, … Then comes the box: left, top, last column, last row."""
    rows, columns = inside.nonzero()
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    flat = np.concatenate([[False], inside[top : bottom + 1, left : right + 1].ravel()])
    ends = np.flatnonzero(np.diff(flat)).tolist()
    runs = np.diff([0, *ends, flat.size - 1])
    return [int(number) for number in (*runs, left, top, right, bottom)]
