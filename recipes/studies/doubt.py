"""How well two warnings tell what they should: that a picture is not of the kind that the embedded model was trained
on, and that a class is missing in a drawing. Each limit is chosen on every second picture and measured on the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recipes.mini.sets import load_set
from recipes.mini.yardstick import load_segmenter, segment_known
from seediff.attention.maps import AttentionMaps
from seediff.attention.see_photos import encode_images, reconstruction_errors
from seediff.attention.windows import Window, cut
from seediff.dataset.dataset import Dataset
from seediff.files.outputs import write_atomic
from seediff.files.photo_files import find_photos, read_photo
from seediff.masks.presence import contrast
from seediff.mini.scenes import CLASS_IDS
from seediff.models.registry import load_model

from .generated import EMPTY_SHARE

MOST = 100
"""Pictures of a kind."""


def run_doubt(out: Path, drawn: Path, photos: Sequence[Path]) -> None:
    """Write results.json. drawn: a dataset of mini's with two classes per image and attention. photos: folders, of
    each of which the first MOST are used.
    """
    data = Dataset.open(drawn)
    images = [sample.image for sample in data.samples]
    scenes = [scene.image for scene in load_set("truth", MOST)]
    errors, milliseconds = reconstructed([*images[:MOST], *scenes])
    own = len(errors)
    for folder in photos:
        errors += reconstructed([read_photo(photo.path) for photo in find_photos(folder).photos[:MOST]])[0]
    names = [tuple(sample.metadata["classes"]) for sample in data.samples]
    label_maps = segment_known(load_segmenter(), np.stack(images), names)
    contrasts, missing = [], []
    for sample, labels, classes in zip(data.samples, label_maps, names, strict=True):
        maps = AttentionMaps.load(drawn / f"attention/{sample.name}.safetensors")
        contrasts += [contrast(maps, name) for name in classes]
        missing += [bool((labels == CLASS_IDS[name]).mean() < EMPTY_SHARE) for name in classes]
    found = {
        "own_error": {"milliseconds": milliseconds, **halves(errors, [i >= own for i in range(len(errors))], 1)},
        "own_contrast": halves(contrasts, missing, -1),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "results.json", (json.dumps(found, indent=1) + "\n").encode())


def reconstructed(images: Sequence[np.ndarray]) -> tuple[list[float], float]:
    """Each picture's `reconstruction_errors`, and the milliseconds of CPU time that a picture takes."""
    model = load_model("mini", device="cpu")
    side, begun, errors = model.image_side, time.process_time(), []
    for image in images:
        seen = [cut(image, Window(0, 0, *image.shape[:2]), (side, side))]
        errors += reconstruction_errors(model, seen, encode_images(model, seen))
    return errors, round(1000 * (time.process_time() - begun) / len(images), 1)


def halves(values: Sequence[float], wanted: Sequence[bool], sign: int) -> dict[str, Any]:
    """The area under the ROC curve of all; the limit with the best F1 score on every second, and precision, recall and
    the share of false alarms there on the others. sign: 1 if larger values are warned of, −1 if smaller ones are.
    """
    score, truth = sign * np.asarray(values), np.asarray(wanted)
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
        "limit": round(sign * limit, 4),
        "held_out": int(held.sum()),
        "precision": round(hits / max(1, hits + false), 3),
        "recall": round(hits / max(1, hits + missed), 3),
        "false_alarms": round(false / max(1, int((~truth & held).sum())), 4),
    }
