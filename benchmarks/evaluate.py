"""Rate and peak memory of `seediff evaluate segments` on generated label maps: 5,000 pairs of 512² in under 1 GiB is the aim.

    PYTHONPATH=src python benchmarks/evaluate.py                  # about five minutes on one core
    PYTHONPATH=src python benchmarks/evaluate.py --images 500 --protocols diffseg

Each protocol runs in a process of its own, whose largest resident memory is read from the system; time is the whole command's, with
Python's start. Labels are COCO-Stuff-27-like: about eight smooth regions a picture with frayed edges; predictions are finer still.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from seediff.dataset.native import encode_mask

DISTINCT = 100  # pictures that differ; the others are further names of these


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--protocols", nargs="+", default=["diffseg", "dataset", "strict"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), given.images, given.side)
        print(f"{given.images} pairs of {given.side} × {given.side} pixels")
        for protocol in given.protocols:
            wall, cpu, mib = run(Path(folder), protocol)
            print(
                f"{protocol:8} {wall:6.1f} s, {given.images / wall:6.1f} images/s; "
                f"CPU {cpu:6.1f} s, {given.images / cpu:6.1f} images/s; peak {mib:.0f} MiB",
                flush=True,
            )


def write_pairs(folder: Path, images: int, side: int) -> None:
    """labels/ and predictions/: `images` PNGs each, of which the first hundred differ."""
    rng = np.random.default_rng(0)
    for kind, regions, ids in (("labels", 8, 27), ("predictions", 12, 12)):
        (folder / kind).mkdir()
        for index in range(images):
            path = folder / kind / f"{index:06d}.png"
            if index < DISTINCT:
                path.write_bytes(encode_mask(rng.choice(ids, regions, replace=False).astype(np.uint8)[smooth_regions(rng, regions, side)]))
            else:
                path.hardlink_to(folder / kind / f"{index % DISTINCT:06d}.png")


def smooth_regions(rng: np.random.Generator, regions: int, side: int) -> np.ndarray:
    """(side, side): which of several smooth random fields is highest, with a little noise so that edges fray."""
    fields = [
        np.asarray(Image.fromarray(rng.standard_normal((6, 6)).astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
        + 0.02 * rng.standard_normal((side, side))
        for _ in range(regions)
    ]
    return np.argmax(fields, axis=0)


def run(folder: Path, protocol: str) -> tuple[float, float, float]:
    """Seconds on the clock and of the processor, and largest resident memory in MiB, of the command in a process of its own."""
    command = "from seediff.cli.evaluate import app; import sys; app(sys.argv[1:])"
    arguments = ["segments", str(folder / "predictions"), "--labels", str(folder / "labels"), "--protocol", protocol, "--quiet"]
    before = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", command, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the command failed: {status}")
    wall = time.perf_counter() - before
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)


if __name__ == "__main__":
    main()
