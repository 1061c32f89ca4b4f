"""Checks whole networks of published shapes on a CPU: whether maps equal the reference, and pictures those drawn without capture.

    python benchmarks/exact_shapes.py --models sd3.5-medium,flux-dev --json exact.json
    python benchmarks/exact_shapes.py --models sdxl,sana --side 256 --steps 2       # too large for references of joint attention
    python benchmarks/exact_shapes.py                            # all models

The denoiser and the autoencoder have all their blocks at their published width, with random weights in float32, and run in the real
pipeline. The text encoders have one layer, but outputs of their published width, so nothing after them is affected.
The reference is the tests' (`builders/eager.py`): every layer's attention in float64, from the inputs of its module. A model that needs
more memory than is free gets only a few blocks of each kind, which its row shows; `--fewer` does this for all models.
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

from seediff.models.registry import Model

FLOAT32 = 4
BESIDE = 4e9
"""Bytes needed besides the network: the autoencoder, the text encoders' embeddings, the layers' outputs, and attention in float64."""


def run(name: str, side: int, steps: int, folder: Path, fewer: bool) -> dict[str, Any]:
    """The figures of one model."""

    def made(device: str, fewer: bool) -> Model:
        return exact(name, device, "float32", folder / device, text_layers=1, fewer=fewer)

    whole = made("meta", fewer=False)
    parameters, layers = sum(weight.numel() for weight in whole.network.parameters()), len(list(whole.family.layers(whole.network)))
    begun, needed, there = time.perf_counter(), FLOAT32 * parameters + BESIDE, psutil.virtual_memory().available
    model = replace(made("cpu", fewer=fewer or needed > there), image_side=side)
    draws = Draws(model, 1)
    difference = largest_difference(model, size=side, steps=steps, guidance_scale=draws.scale)
    images, (maps,) = draws.captured(steps)
    return {
        "model": name,
        "parameters": parameters,
        "layers": layers,
        "layers made": len(list(model.family.layers(model.network))),
        "difference": difference,
        "equal": bool(np.array_equal(images, draws.plain(steps))),
        "self": [math.prod(grid) for grid in maps.self_attention],
        "cross": [math.prod(grid) for grid in maps.cross_attention],
        "seconds": round(time.perf_counter() - begun),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(NETWORKS), help="short names, with commas")
    parser.add_argument("--side", type=int, default=128, help="of the picture, in pixels")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--fewer", action="store_true", help="only as many blocks as show each kind")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    names = options.models.split(",")
    if unknown := set(names) - set(NETWORKS):
        parser.error(f"--models: {', '.join(sorted(unknown))} should be of {', '.join(NETWORKS)}")
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            rows.append(run(name, options.side, options.steps, Path(scratch), options.fewer))
        print(json.dumps(rows[-1]), flush=True)
        gc.collect()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
