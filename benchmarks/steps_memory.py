"""Peak memory of drawing, plain and under capture, at several numbers of steps: what capture adds per image does not grow with them.

    python benchmarks/steps_memory.py                                # two twins at 4096 positions; some ten minutes on one core
    python benchmarks/steps_memory.py --twins flux --steps 5 50 --images 2
    python benchmarks/steps_memory.py --positions 16 --steps 1 2     # seconds: whether it runs

The twins are the tests': the families' exact classes, narrow, so that attention is nearly all that takes memory. Every row is a process of
its own, and its peak the highest resident memory, of which the libraries alone are about half a gigabyte; ratios would say nothing.
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

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the twins are the tests'

from builders.books.flux import save_flux  # pyright: ignore[reportMissingImports]
from builders.twins import save_unet  # pyright: ignore[reportMissingImports]
from on_gpu.drawing import Draws

from seediff.attention.expected import expect_capture
from seediff.models.registry import load_model

TWINS: dict[str, Callable[[Path], Path]] = {"unet": partial(save_unet, second=True), "flux": save_flux}
"""Stable Diffusion 2: self- and cross-attention at four sides. FLUX.1: joint attention at one."""
WAYS = ("plain", "capture")
MIB = 2**20


@torch.no_grad()
def measure(twin: str, way: str, steps: int, images: int, positions: int) -> dict[str, float]:
    """MiB of this process at most, and what `--dry-run` says that the maps of an image take. positions: a side of L."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(str(TWINS[twin](Path(folder) / twin)), device="cpu")
    draws = Draws(replace(model, image_side=positions * model.pixels), images)
    (draws.plain if way == "plain" else draws.captured)(steps)
    expected = expect_capture(model.family, model.network.config, type(model.pipe).__name__, (positions, positions))
    assert expected is not None
    return {"most": peak(), "maps": expected.map_bytes / MIB}


def run(words: list[str]) -> dict[str, float]:
    """One measurement in a process of its own. Freed blocks go back to the system at once, where they would be kept for reuse: what was in
    use is measured, not how blocks happened to fit."""
    kept = {"MALLOC_MMAP_THRESHOLD_": str(2**18), "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}  # glibc's
    command = [sys.executable, __file__, *words]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **kept}).stdout)


def peak() -> float:
    """MiB; what the system counts in KiB, and macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--twins", nargs="+", choices=TWINS, default=list(TWINS))
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--images", type=int, default=1, help="in one batch")
    parser.add_argument("--positions", type=int, default=64, help="a side of L: 64 is 4096 in all, as of Stable Diffusion at 512²")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given.twins[0], given.way, given.steps[0], given.images, given.positions)))
        return
    rows = []
    print("| twin | steps | plain, MiB | with capture, MiB | more per image, MiB | its maps, MiB |\n|---|--:|--:|--:|--:|--:|")
    for twin in given.twins:
        for steps in given.steps:
            own = ["--twins", twin, "--steps", str(steps), "--images", str(given.images), "--positions", str(given.positions)]
            plain, captured = (run([*own, "--way", way]) for way in WAYS)
            more = (captured["most"] - plain["most"]) / given.images
            rows.append(
                {"twin": twin, "steps": steps, "plain": plain["most"], "capture": captured["most"], "more": more, "maps": captured["maps"]}
            )
            print(f"| {twin} | {steps} | {plain['most']:.0f} | {captured['most']:.0f} | {more:.0f} | {captured['maps']:.0f} |", flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
