"""A dataset for Roboflow's supervision: pictures with `Detections`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import UserError
from ..files.label_maps import IGNORE
from .sample import Sample
from .shapes.objects import whole_classes

if TYPE_CHECKING:
    from supervision import Detections


class SupervisionSamples:
    """Samples as `Dataset.as_supervision` describes them; a detection has a `mask` (H, W) bool and `xyxy` in pixels,
    both corners included."""

    def __init__(self, samples: Sequence[Sample], classes: Sequence[str]) -> None:
        try:
            import supervision as supervision
        except ImportError as error:
            raise UserError("as_supervision", "needs supervision", "pip install supervision") from error
        self.samples, self.classes = samples, tuple(classes)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[tuple[Image.Image, Detections]]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> tuple[Image.Image, Detections]:
        import supervision

        sample = self.samples[index]
        labels = sample.labels(len(self.classes))
        objects = sample.objects(labels) if sample.stored_instances else whole_classes(labels % IGNORE)
        masks = objects.index == np.arange(len(objects.class_ids))[:, None, None]
        ids = np.array(objects.class_ids, np.int64) - 1
        names = np.array(self.classes, dtype=str)[ids]
        boxes = supervision.mask_to_xyxy(masks)
        return sample.pil_image(), supervision.Detections(boxes, masks, class_id=ids, data={"class_name": names})
