"""A dataset for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from .sample import Sample

Transform = Callable[[torch.Tensor, Any], Any]


class TorchSamples(Dataset[Any]):
    """A dataset for PyTorch. classes: the number of classes. `Dataset.as_torch` describes the other arguments and the
    entries."""

    def __init__(
        self, samples: Sequence[Sample], classes: int, transform: Transform | None = None, *, objects: bool = False
    ) -> None:
        self.samples = samples
        self.classes = classes
        self.transform = transform
        self.objects = objects

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        sample = self.samples[index]
        labels = sample.labels(self.classes)
        target = torch.from_numpy(labels.astype("int64"))
        if self.objects:
            target = object_target(sample, labels)
        image = torch.from_numpy(sample.image.copy()).permute(2, 0, 1).float() / 255
        if self.transform is None:
            return image, target
        return self.transform(image, target)


def object_target(sample: Sample, labels: np.ndarray) -> dict[str, torch.Tensor]:
    """The N objects of a sample for torchvision's detectors: "masks" (N, H, W) uint8; "labels" (N,) int64 of class ids;
    "boxes" (N, 4) float32 of left, top, right, bottom in pixels, where right and bottom are exclusive. labels: the
    sample's label map (H, W) uint8."""
    objects = sample.objects(labels)
    masks = objects.numbers == np.arange(1, len(objects.class_ids) + 1)[:, None, None]
    return {
        "masks": torch.from_numpy(masks.astype(np.uint8)),
        "labels": torch.from_numpy(np.array(objects.class_ids, np.int64)),
        "boxes": torch.from_numpy(np.array(objects.boxes_xyxy, np.float32).reshape(-1, 4)),
    }
