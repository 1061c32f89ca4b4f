"""Seconds that `mask` takes for a photograph with Stable Diffusion 1.5's published shape, with random weights.

    python benchmarks/photograph.py                    # on the GPU, if there is one
    OMP_NUM_THREADS=2 python benchmarks/photograph.py --device cpu

One class, a photograph of 500 × 375 pixels, the command's own defaults. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the twins, whose text comes from recipes/
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from on_gpu.pipelines import exact

from seediff.config.photographs import MaskPhotosConfig
from seediff.devices import default_device
from seediff.files.photographs import find_photos
from seediff.run.mask import MaskJob

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default=default_device())
parser.add_argument("--rounds", type=int, default=3)
given = parser.parse_args()
with tempfile.TemporaryDirectory() as folder:
    work = Path(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)
    Image.fromarray(pixels).save(work / "photo.png")
    model = exact("sd1.5", given.device, "float32" if given.device == "cpu" else "bfloat16", work)
    job = MaskJob(MaskPhotosConfig.recommended(model="sd1.5", classes=("dog",), presence=0.0), find_photos(work))
    job.use(model)
    for _ in range(given.rounds):
        begun, worked = time.perf_counter(), time.process_time()
        job.write(job.capture(job.items()), work / "out")
        took, worked = time.perf_counter() - begun, time.process_time() - worked
        print(f"{given.device}: {took:.2f} s, {worked:.2f} s of CPU time", flush=True)
