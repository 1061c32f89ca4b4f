"""Reports for people after a run: `preview.html` and the dataset card. Only `write_preview` and `save_trace` write files."""

from __future__ import annotations

from .card import dataset_card
from .preview import write_preview
from .saved_steps import StepPicture, TracedSample, load_trace, save_trace, traced_sample

__all__ = ["StepPicture", "TracedSample", "dataset_card", "load_trace", "save_trace", "traced_sample", "write_preview"]
