"""A dataset for Roboflow's supervision: pictures with `Detections`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from PIL import Image

from ..errors import UserError
from ..files.label_maps import IGNORE
from .sample import Sample
from .shapes.objects import whole_classes

if TYPE_CHECKING:
    from supervision import Detections


class SupervisionSamples(Sequence[Any]):
    """Samples as `Dataset.as_supervision` describes them; a detection has a `mask` (H, W) bool and `xyxy` in pixels,
    both corners included. Raises UserError if supervision is not installed, and on access naming a sample that cannot
    be used."""

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
        return sample.picture(), library.Detections(
            xyxy=boxes, mask=masks, class_id=ids - 1, data={"class_name": names}
        )

    def __iter__(self) -> Iterator[tuple[Image.Image, Detections]]:
        return (self[index] for index in range(len(self)))


def separate_masks(sample: Sample, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(masks, ids): (N, H, W) bool and (N,) int64 class ids from 1, of a sample's objects if it has `instances`, or
    else of its classes. Only masks with a pixel are returned. Raises UserError naming the sample."""
    labels = sample.labels(classes)
    objects = sample.objects(labels) if sample.stored_instances else whole_classes(labels % IGNORE)
    return objects.index == np.arange(len(objects.class_ids))[:, None, None], np.array(objects.class_ids, np.int64)


def _library() -> Any:
    try:
        import supervision
    except ImportError as error:
        raise UserError("as_supervision: needs supervision: pip install supervision") from error
    return supervision
