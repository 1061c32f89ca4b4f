"""Peak memory of work that may need much of it: drawing with capture, predicting label maps of large pictures.

    python benchmarks/memory.py                        # all; a quarter of an hour on one core
    python benchmarks/memory.py drawing --positions 16     # takes seconds: checks that it runs
    PYTHONPATH=OTHER/src python benchmarks/memory.py predicting        # the same for another version

Every row runs in a separate process with one thread. "most" is its peak resident memory, of which the libraries alone
take about half a gigabyte; "own" is the part that was added once the network and its input existed.

drawing     narrow twins of the families' networks, so that attention takes nearly all of the memory; it must not grow
with the steps predicting  an untrained SegFormer of the smallest shape on pictures of 12 megapixels, with 20 classes
and the background
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the twins, whose text comes from recipes/
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch

MIB = 2**20
POSITIONS = 64
"""Side of the latent grid: 64 means 4096 positions, as in Stable Diffusion at 512²."""


def peak() -> float:
    """Peak resident memory of this process in MiB. Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 2**10)


@torch.no_grad()
def drawing(twin: str, way: str, steps: int, positions: int) -> dict[str, float]:
    """twin: "unet" (Stable Diffusion 2) or "flux" (joint attention at one side). "maps" is what `--dry-run` expects an
    image to need.
    """
    from builders.reference_attentions.flux import save_flux  # pyright: ignore[reportMissingImports]
    from builders.twins import save_unet  # pyright: ignore[reportMissingImports]
    from on_gpu.drawing import Draws

    from seediff.attention.plan import plan_capture
    from seediff.models.registry import load_model

    save: Callable[[Path], Path] = {"unet": partial(save_unet, second=True), "flux": save_flux}[twin]
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(str(save(Path(folder) / twin)), device="cpu")
    draws, before = Draws(replace(model, sizes=model.sizes._replace(side=positions * model.sizes.position)), 1), peak()
    (draws.plain if way == "plain" else draws.captured)(steps)
    size = (positions, positions)
    expected = plan_capture(model.family, model.layers).expected(size)
    return {"most": peak(), "own": peak() - before, "maps": expected.map_bytes / MIB if way == "capture" else 0}


def predicting(count: int, width: int, height: int) -> dict[str, float]:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    from seediff.train.predict import Segmenter

    classes = tuple(f"class {number}" for number in range(1, 21))
    network = SegformerForSemanticSegmentation(SegformerConfig(num_labels=len(classes) + 1)).eval()  # type: ignore[call-arg]
    segmenter = Segmenter(network, classes, 512, "cpu", None)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    images, before = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)], peak()
    segmenter.label_maps(images)
    return {"most": peak(), "own": peak() - before, "pixels": sum(image.nbytes for image in images) / MIB}


MEASURES = {"drawing": drawing, "predicting": predicting}


def grid(positions: int) -> dict[str, list[dict[str, Any]]]:
    """The arguments of each measure, one dictionary per row."""
    twins, ways, steps = ("unet", "flux"), ("plain", "capture"), (5, 10, 20)
    return {
        "drawing": [
            {"twin": t, "way": w, "steps": s, "positions": positions} for t in twins for w in ways for s in steps
        ],
        "predicting": [{"count": count, "width": 4000, "height": 3000} for count in (1, 8)],
    }


def in_a_process(name: str, options: dict[str, Any]) -> dict[str, float]:
    """Run a measure in its own process. There, freed blocks go back to the system at once, so that fragmentation is not
    measured.
    """
    kept = {"MALLOC_MMAP_THRESHOLD_": str(2**18), "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}  # glibc's
    command = [sys.executable, __file__, name, "--options", json.dumps(options)]
    return json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **kept}).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", default=list(MEASURES), help=", ".join(MEASURES))
    parser.add_argument("--positions", type=int, default=POSITIONS, help="of drawing: a side of the lattice")
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.options:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        print(json.dumps(MEASURES[given.measures[0]](**given.options)))
        return
    for name in given.measures:
        for number, options in enumerate(grid(given.positions)[name]):
            row = in_a_process(name, options)
            if number == 0:
                print(
                    f"\n| {' | '.join((*options, *(f'{key}, MiB' for key in row)))}"
                    f" |\n|{'---|' * (len(options) + len(row))}"
                )
            print(
                f"| {' | '.join([*map(str, options.values()), *(f'{value:.0f}' for value in row.values())])} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
