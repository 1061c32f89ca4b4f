"""What it brings that PAMR follows a photograph itself, and what it costs: masks of large drawn scenes of held-out
sprites, with `--edge-megapixels` 0 and 2, against the exact ones.

    python -m recipes.mini art --out art
    python -m benchmarks.edges art               # 40 scenes of 512², four methods: fifteen minutes of one core
    python -m benchmarks.edges art --cost        # seconds and memory by megapixels and number of classes

The classes of each scene are given, and presence is not asked for.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion

import seediff
from recipes.mini.world import render_scene
from recipes.studies.score import mean_interval
from seediff.metrics.scores import iou
from seediff.mini.scenes import CLASS_IDS

METHODS = ("seediff", "ca", "ca_sa", "daam")
LIMITS = (0.0, 2.0)
BETAS = tuple(round(0.05 * step, 2) for step in range(2, 13))
FIRST = 5000
"""Seed of the first scene."""
PARTS = [*CLASS_IDS][:8]


def near(mask: np.ndarray, exact: np.ndarray, pixels: int) -> float:
    """F of two boundaries that agree where they are at most `pixels` apart, along rows or columns or both."""
    square = np.ones((2 * pixels + 1,) * 2, bool)
    own, true = (one ^ np.asarray(binary_erosion(one, border_value=1), bool) for one in (mask, exact))
    if not own.any() or not true.any():
        return 0.0
    precision = (own & np.asarray(binary_dilation(true, square), bool)).sum() / own.sum()
    recall = (true & np.asarray(binary_dilation(own, square), bool)).sum() / true.sum()
    return 2 * precision * recall / max(precision + recall, 1e-9)


def quality(art: Path, model: str, side: int, count: int) -> None:
    """Print IoU and F at 1 and 3 pixels of each method and limit, then SeeDiff's IoU at each β."""
    loaded = seediff.load_model(model)
    figures, swept = defaultdict(list), defaultdict(list)
    images: list[int] = []
    for number in range(count):
        scene = render_scene(art, FIRST + number, split="held", side=side)
        exact = [scene.label_map == CLASS_IDS[name] for name in scene.classes]
        images += [number] * len(exact)
        for method in METHODS:
            for limit in LIMITS:
                options = {"presence": 0, "edge_megapixels": limit, "method": method}
                result = seediff.mask(scene.image, list(scene.classes), model=loaded, **options)
                best, which = result.soft.max(0)
                for index, true in enumerate(exact):
                    own = result.label_map == index + 1
                    figures[method, limit].append((iou(own, true), near(own, true, 1), near(own, true, 3)))
                    if method == "seediff":
                        sure = [((which == index) & (best >= beta)).numpy() for beta in BETAS]
                        swept[limit].append([iou(one, true) for one in sure])
    print(f"{model}, {count} scenes of {side}², {len(images)} masks: IoU, F at 1 pixel, F at 3 pixels, % [95 %]")
    owner = np.array(images)
    for (method, limit), values in figures.items():
        columns = np.array(values).T
        intervals = [mean_interval(column, owner) for column in columns]
        shown = zip(columns.mean(1), intervals, strict=True)
        cells = [f"{100 * mean:.1f} [{100 * low:.1f}–{100 * high:.1f}]" for mean, (low, high) in shown]
        print(f"  {method:8} {limit:g} megapixels  " + "  ".join(cells))
    for limit, rows in swept.items():
        means = np.mean(rows, 0)
        print(
            f"  β at {limit:g} megapixels: best {BETAS[means.argmax()]}; " + " ".join(f"{100 * m:.1f}" for m in means)
        )


def cost(art: Path, model: str) -> None:
    """Print CPU seconds of a mask and the peak memory of its process, each in a process of its own."""
    for megapixels in (0.25, 1, 2, 12):
        for classes in (1, 8):
            told = []
            for limit in LIMITS:
                size = round((megapixels * 1e6) ** 0.5)
                line = [sys.executable, "-m", "benchmarks.edges", str(art), "--model", model]
                line += ["--one", f"{size},{classes},{limit}"]
                told.append(subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip())
            print(f"  {megapixels:g} megapixels, {classes} classes: {told[0]} → {told[1]}", flush=True)


def one(art: Path, model: str, side: int, classes: int, limit: float) -> None:
    """Print what one mask takes, after a small one that warms up."""
    loaded = seediff.load_model(model)
    scene = render_scene(art, FIRST, split="held", side=side)
    for image in (scene.image[:256, :256], scene.image):
        begun = time.process_time()
        seediff.mask(image, PARTS[:classes], model=loaded, presence=0, edge_megapixels=limit)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{time.process_time() - begun:.2f} s {memory:.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="folder that `python -m recipes.mini art` wrote")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one:
        side, classes, limit = given.one.split(",")
        one(given.art, given.model, int(side), int(classes), float(limit))
    elif given.cost:
        cost(given.art, given.model)
    else:
        quality(given.art, given.model, given.side, given.count)


if __name__ == "__main__":
    main()
