"""How well the warning tells that a class is missing in a drawing. Its limit is chosen on every second picture and
measured on the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recipes.mini.yardstick import load_segmenter, segment_known
from seediff.attention.maps import AttentionMaps
from seediff.dataset.dataset import Dataset
from seediff.files.outputs import write_atomic
from seediff.masks.presence import contrast
from seediff.mini.scenes import CLASS_IDS

from .generated import EMPTY_SHARE


def run_doubt(out: Path, drawn: Path) -> None:
    """Write results.json. drawn: a dataset of mini's with two classes per image and attention."""
    data = Dataset.open(drawn)
    images = [sample.image for sample in data.samples]
    names = [tuple(sample.metadata["classes"]) for sample in data.samples]
    label_maps = segment_known(load_segmenter(), np.stack(images), names)
    contrasts, missing = [], []
    for sample, labels, classes in zip(data.samples, label_maps, names, strict=True):
        maps = AttentionMaps.load(drawn / f"attention/{sample.name}.safetensors")
        contrasts += [contrast(maps, name) for name in classes]
        missing += [bool((labels == CLASS_IDS[name]).mean() < EMPTY_SHARE) for name in classes]
    found = {"own_contrast": halves(contrasts, missing)}
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "results.json", (json.dumps(found, indent=1) + "\n").encode())


def halves(values: Sequence[float], wanted: Sequence[bool]) -> dict[str, Any]:
    """The area under the ROC curve of all; the limit with the best F1 score on every second, and precision, recall and
    the share of false alarms there on the others. Small values are warned of.
    """
    score, truth = -np.asarray(values), np.asarray(wanted)
    pairs = score[truth][:, None] - score[~truth][None]
    fitted, held = np.arange(len(score)) % 2 == 0, np.arange(len(score)) % 2 == 1

    def judged(limit: float, part: np.ndarray) -> tuple[int, int, int]:
        warned = (score > limit) & part
        return int((warned & truth).sum()), int((warned & ~truth).sum()), int((~warned & truth & part).sum())

    def f1(limit: float) -> float:
        hits, false, missed = judged(limit, fitted)
        return 2 * hits / max(1, 2 * hits + false + missed)

    limit = max(np.unique(score[fitted]).tolist(), key=f1)
    hits, false, missed = judged(limit, held)
    return {
        "count": len(score),
        "wanted": int(truth.sum()),
        "auc": round(float((pairs > 0).mean() + 0.5 * (pairs == 0).mean()), 4),
        "limit": round(-limit, 4),
        "held_out": int(held.sum()),
        "precision": round(hits / max(1, hits + false), 3),
        "recall": round(hits / max(1, hits + missed), 3),
        "false_alarms": round(false / max(1, int((~truth & held).sum())), 4),
    }
