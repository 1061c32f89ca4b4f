"""A dataset as roboflow's supervision wants it: pictures with `Detections`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from PIL import Image

from ..errors import UserError
from ..files.label_maps import IGNORE
from .sample import Sample

if TYPE_CHECKING:
    from supervision import Detections


class SupervisionSamples(Sequence[Any]):
    """Samples as (picture, detections): a picture of Pillow in RGB, and `supervision.Detections`.

    A detection is an object where the sample has `instances`, else a class: its `mask` (H, W) bool, its `xyxy` in pixels (the first and
    the last in it), its `class_id`, and its name in `data["class_name"]`. `class_id` is the place in `classes`, from 0, as supervision
    counts: the label map's id less 1. Background and ignored pixels are in no detection. Pictures are read when they are asked for. Raises
    UserError when supervision is not installed, and, when it is asked for, naming the sample that cannot be used.
    """

    def __init__(self, samples: Sequence[Sample], classes: Sequence[str]) -> None:
        _library()
        self.samples, self.classes = samples, tuple(classes)

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> tuple[Image.Image, Detections]: ...
    @overload
    def __getitem__(self, index: slice) -> SupervisionSamples: ...
    def __getitem__(self, index: int | slice) -> tuple[Image.Image, Detections] | SupervisionSamples:
        if isinstance(index, slice):
            return SupervisionSamples(self.samples[index], self.classes)
        sample = self.samples[index]
        masks, ids = separate_masks(sample, len(self.classes))
        names = np.array(self.classes, dtype=str)[ids - 1]
        library = _library()
        boxes = library.mask_to_xyxy(masks)
        return sample.picture(), library.Detections(xyxy=boxes, mask=masks, class_id=ids - 1, data={"class_name": names})

    def __iter__(self) -> Iterator[tuple[Image.Image, Detections]]:
        return (self[index] for index in range(len(self)))


def separate_masks(sample: Sample, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(masks, ids): (N, H, W) bool and (N,) int64, of a sample's objects where it has `instances`, else of its classes; of both, only those
    with a pixel. ids: of their classes, from 1. Raises UserError naming the sample."""
    labels, instances = sample.labels(classes), sample.instances
    numbers = np.where(labels == IGNORE, 0, labels if instances is None else instances.numbers)
    shown = np.unique(numbers[numbers > 0]).astype(np.int64)
    masks = numbers == shown[:, None, None]
    if instances is None:
        return masks, shown
    ids = np.array(instances.class_ids, np.int64)[shown - 1]
    if wrong := [class_id for class_id in ids.tolist() if not 1 <= class_id <= classes]:
        raise UserError(f"sample '{sample.name}': class id {wrong[0]} of an object, but there are {classes} classes (1 to {classes})")
    return masks, ids


def _library() -> Any:
    try:
        import supervision
    except ImportError as error:
        raise UserError("as_supervision: needs supervision: pip install supervision") from error
    return supervision
