"""Drawings of the embedded world, whose masks the yardstick judges: how many are wrong before and after `generate`
draws again, and how many of the wrong ones come first in the order of doubt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from recipes.mini.sets import dataset_ids
from recipes.mini.yardstick import iou, load_segmenter, segment_known
from seediff.dataset.dataset import Dataset
from seediff.files.names import REJECTED
from seediff.files.outputs import write_atomic
from seediff.rows.doubt import doubt
from seediff.rows.row import Row, each_row

from .doubt import with_support, write

NAMES = {
    "two": "two random classes",
    "similar": "two of the six animals and persons",
    "three": "three random classes",
    "one": "one class",
}
"""Sets of drawings: the folder's name, and what an image shows."""
WRONG = 0.5
"""An image is wrong if a class's mask has a lower IoU than this with the yardstick's mask."""
SURE = 0.7
"""The yardstick is sure of an image if it agrees with itself on the mirrored image: this IoU or more of each class."""
COUNTED = ("wrong at first", "of these redrawn", "right ones redrawn", "wrong in the set", "kept")


def run_redrawing(folder: Path, *, out: Path) -> None:
    """How many drawings are wrong at first, and in the set after redrawing.

    Example: python -m recipes.studies redrawing sets --out drawn.json

    Parameters
    ----------
    folder
        Folder of sets that `seediff generate` drew, such as two, and two-first with --no-reject.
    """
    results = {name: counted(folder / f"{name}-first", folder / name) for name in NAMES}
    print("\n".join(row(name, counts) for name, counts in results.items()))
    write_atomic(out, (json.dumps({"sets": results}, indent=1) + "\n").encode())


def counted(first: Path, last: Path) -> dict[str, Any]:
    """Counts [part, whole] of two sets that were drawn with one seed, without and with redrawing, and means."""
    before, kept = (Dataset.open(folder) for folder in (first, last))
    ious, later = (dict(zip([s.name for s in data], judged(data)[0], strict=True)) for data in (before, kept))
    lost = sum(1 for _ in each_row(last / REJECTED))
    as_before = {sample.name for sample in kept if not sample.row.attempt}
    wrong = {name for name, found in ious.items() if min(found) < WRONG}
    right = ious.keys() - wrong
    means = [np.mean(np.concatenate([*found.values()])).round(3).item() for found in (ious, later)]
    return {
        "wrong at first": [len(wrong), len(ious)],
        "of these redrawn": [len(wrong - as_before), len(wrong)],
        "right ones redrawn": [len(right - as_before), len(right)],
        "wrong in the set": [sum(min(found) < WRONG for found in later.values()), len(later)],
        "kept": [len(later), len(ious)],
        "draws": round(1 + lost / len(later), 2),
        "iou at first": means[0],
        "iou in the set": means[1],
    }


def share(part: int, whole: int) -> str:
    """`3/60 = 5 % (2–14)`, with the 95 % Wilson interval."""
    if not whole:
        return "0/0"
    low, high = binomtest(part, whole).proportion_ci(method="wilson")
    return f"{part}/{whole} = {part / whole:.0%} ({100 * low:.0f}–{100 * high:.0f})".replace("%", " %")


def row(name: str, counts: dict[str, Any]) -> str:
    """A row of the table in docs/truth.md."""
    shares = [share(*counts[key]) for key in COUNTED]
    means = f"{counts['iou at first']:.2f} → {counts['iou in the set']:.2f}"
    return f"| {' | '.join([NAMES[name], *shares, str(counts['draws']), means])} |"


def run_review(*sets: Path, out: Path, seed: int = 0) -> None:
    """How many wrong drawings come first in the order of doubt.

    Example: python -m recipes.studies review sets/three sets/similar sets/two --out review.json

    Parameters
    ----------
    sets
        Folders that `seediff generate` filled. A score `agreement` in their rows is compared.
    seed
        Seed of the cross-fit.
    """
    data = Dataset.open(sets[0]).merge(*map(Dataset.open, sets[1:]))
    masks, own = (np.array([min(found) for found in ious]) for ious in judged(data))
    rows = with_support(data, seed)
    alone = {
        "support": [row.support for row in rows],
        "confidence": [row.confidence for row in rows],
        "agreement": [row.rest.get("agreement") for row in rows],
    }
    orders = {"doubt": doubt(rows)}
    for name, scores in alone.items():
        if all(scores):
            orders[name] = doubt([Row(confidence=one) for one in scores])
    sure = own >= SURE
    of_sure = {name: order[sure] for name, order in orders.items()}
    write(out, {"sure": (of_sure, masks[sure] < WRONG), "all": (orders, masks < WRONG)})


def judged(data: Dataset) -> tuple[list[list[float]], list[list[float]]]:
    """For each image twice the IoU of each class: of its mask with the yardstick's, and of the yardstick's with what
    the yardstick sees in the mirrored image."""
    network, ids = load_segmenter(), dataset_ids(data.classes)
    images, names = np.stack([sample.image for sample in data]), [sample.row.class_names for sample in data]
    seen = segment_known(network, images, names)
    mirrored = segment_known(network, images[:, :, ::-1].copy(), names)
    found: tuple[list[list[float]], list[list[float]]] = ([], [])
    for sample, exact, again in zip(data, seen, mirrored, strict=True):
        for ious, labels in zip(found, (sample.label_map, ids[again[:, ::-1]]), strict=True):
            ious.append([iou(labels == n, ids[exact] == n) for n in sample.row.class_ids or ()])
    return found
