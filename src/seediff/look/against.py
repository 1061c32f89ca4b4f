"""Compares the set with predictions, which the page shows beside its masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..dataset.sample import Sample
from ..drawing.overlays import compress_image, overlay
from ..evaluate.evaluation import Evaluation, evaluate
from ..workers import Progress
from .samples import read_image


def open_against(predictions: Path, folder: Path, progress: Progress) -> Evaluation:
    """Compare the present masks of the dataset in `folder`, also of rejected samples, with predictions: a folder of
    label maps, or another dataset. Raises UserError if names, sizes or classes do not match."""
    return evaluate(predictions, folder, boundary=False, draws=1, with_rejected=True, progress=progress)


def draw_prediction(against: Evaluation, sample: Sample) -> bytes:
    """A PNG of a sample's picture, with its prediction drawn over it. Raises UserError."""
    image = read_image(sample)
    (predicted,) = against.predictor.predict([sample])
    labels = against.predicted_table[predicted].astype(np.uint8)
    fitting = Image.fromarray(labels).resize(image.shape[1::-1], Image.Resampling.NEAREST)
    return compress_image(overlay(image, np.asarray(fitting)), compress_level=1)
