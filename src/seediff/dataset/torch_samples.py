"""A dataset as PyTorch wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from .sample import Sample

Transform = Callable[[torch.Tensor, torch.Tensor], Any]


class TorchSamples(Dataset[Any]):
    """Samples as (image, label_map): (3, H, W) float32 in [0, 1], and (H, W) int64 of class ids, 255 ignored; or what `transform` makes of
    the two. Pictures are read when they are asked for, in the workers of a DataLoader if it has any."""

    def __init__(self, samples: Sequence[Sample], classes: int, transform: Transform | None = None) -> None:
        self.samples, self.classes, self.transform = samples, classes, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        sample = self.samples[index]
        label_map = torch.from_numpy(sample.labels(self.classes).astype("int64"))
        image = torch.from_numpy(sample.image.copy()).permute(2, 0, 1).float() / 255
        return (image, label_map) if self.transform is None else self.transform(image, label_map)
