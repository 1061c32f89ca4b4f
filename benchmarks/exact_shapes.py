"""Published shapes, whole, on a CPU: whether maps are those by the book, and whether the picture is that without capture.

    python benchmarks/exact_shapes.py --models sdxl,sd3.5-medium --json exact.json
    python benchmarks/exact_shapes.py                            # all that fit into this machine's memory

Every block of the denoiser and of the autoencoder at its published width, with random weights in float32, through the real pipeline. Of
the text encoders, whose outputs have their published width, only one layer: nothing after them can tell. Pictures are of 256², two steps.
The book is the tests': every layer's attention in float64, from what its module was given. What needs more memory than there is, is a row
that says so.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import psutil
from builders.families import largest_difference  # pyright: ignore[reportMissingImports]
from builders.published import NETWORKS  # pyright: ignore[reportMissingImports]
from on_gpu.drawing import Draws
from on_gpu.pipelines import exact

STEPS = 2
FLOAT32 = 4
BESIDE = 4e9
"""Bytes for the autoencoder, the text encoders' embeddings, what the layers make, and attention in float64."""


def run(name: str, side: int, folder: Path) -> dict[str, Any]:
    """A model's figures."""
    parameters = sum(weight.numel() for weight in exact(name, "meta", "float32", folder / "meta", text_layers=1).network.parameters())
    row: dict[str, Any] = {"model": name, "parameters": parameters}
    needed, there = FLOAT32 * parameters + BESIDE, psutil.virtual_memory().available
    if needed > there:
        return {**row, "left out": f"needs {needed / 1e9:.0f} GB, {there / 1e9:.0f} GB are free"}
    begun = time.perf_counter()
    model = replace(exact(name, "cpu", "float32", folder, text_layers=1), image_side=side)
    row["difference"] = largest_difference(model, size=side, steps=STEPS)
    draws = Draws(model, 1)
    images, (maps,) = draws.captured(STEPS)
    row["equal"] = bool(np.array_equal(images, draws.plain(STEPS)))
    sizes = {"self": maps.self_attention, "cross": maps.cross_attention}
    row["maps"] = {kind: [math.prod(grid) for grid in found] for kind, found in sizes.items()}
    row["layers"] = len(list(model.family.layers(model.network)))
    return {**row, "seconds": round(time.perf_counter() - begun)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(NETWORKS), help="short names, with commas")
    parser.add_argument("--side", type=int, default=256, help="of the picture, in pixels")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    names = options.models.split(",")
    if unknown := set(names) - set(NETWORKS):
        parser.error(f"--models: {', '.join(sorted(unknown))} should be of {', '.join(NETWORKS)}")
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(run(name, options.side, Path(scratch)))
        print(json.dumps(rows[-1]), flush=True)
        gc.collect()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
