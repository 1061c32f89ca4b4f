"""Predictions beside the set that is shown, and how well each agrees with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..dataset.sample import Sample
from ..drawing.overlays import compress_image, overlay
from ..evaluate.evaluation import Evaluation, evaluate
from ..workers import Progress
from .samples import read_image


@dataclass(frozen=True)
class Against:
    """Predictions for a set, which nothing changes. evaluation: in the set's own classes, of its masks as they were
    when it was opened."""

    evaluation: Evaluation

    @property
    def scores(self) -> Mapping[str, float]:
        """The mean IoU of each sample by itself, by name; NaN without a class."""
        return self.evaluation.scores.images

    def picture(self, sample: Sample) -> bytes:
        """A PNG of a sample's picture with its prediction laid over it. Raises UserError."""
        image = read_image(sample)
        (predicted,) = self.evaluation.predictor.predict([sample])
        labels = self.evaluation.predicted_table[predicted].astype(np.uint8)
        fitting = Image.fromarray(labels).resize(image.shape[1::-1], Image.Resampling.NEAREST)
        return compress_image(overlay(image, np.asarray(fitting)), compress_level=1)


def open_against(predictions: Path, folder: Path, progress: Progress) -> Against:
    """Compare all samples of the dataset in `folder`, rejected ones too, with a folder of label maps or a set. Raises
    UserError if names, sizes or classes do not match."""
    return Against(evaluate(predictions, folder, boundary=False, draws=1, with_rejected=True, progress=progress))
