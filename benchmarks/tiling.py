"""The most memory that an autoencoder of Stable Diffusion's shape takes with `--vae-tiling` and without, and what tiles change.

    python benchmarks/tiling.py                      # 1024², float32, on the CPU: minutes on two cores
    python benchmarks/tiling.py --sides 1024 1536 --ways decode

Weights are random. Each row has a process of its own; shown is the highest resident memory less what there was once the autoencoder and its
input were there. Tiles are of 512 pixels, the autoencoder's own size, and overlap by a quarter. "Differs" is the mean and the largest
difference from the untiled result, over its standard deviation: of random weights, whose blending says nothing about a trained one's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch


def autoencoder() -> Any:
    """Stable Diffusion 1's shape: 84 million parameters."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    kind: Any = AutoencoderKL
    return kind(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    ).eval()


@torch.no_grad()
def measure(way: str, side: int, tiled: bool, result: Path) -> dict[str, Any]:
    vae = autoencoder()
    if tiled:
        vae.enable_tiling()
    noise = torch.Generator().manual_seed(1)
    given = torch.randn((1, 4, side // 8, side // 8) if way == "decode" else (1, 3, side, side), generator=noise)
    before, start = peak(), time.perf_counter()
    found = vae.decode(given).sample if way == "decode" else vae.encode(given).latent_dist.mean
    seconds = time.perf_counter() - start
    row: dict[str, Any] = {"mib": peak() - before, "seconds": seconds}
    if tiled:
        whole = torch.load(result)
        off = (found - whole).abs() / whole.std()
        row |= {"mean": float(off.mean()), "largest": float(off.max())}
    else:
        torch.save(found, result)
    return row


def peak() -> float:
    """MiB; what the system counts in KiB, and macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[1024])
    parser.add_argument("--ways", nargs="+", choices=["encode", "decode"], default=["encode", "decode"])
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, side, tiled, result = given.one
        print(json.dumps(measure(way, int(side), tiled == "tiled", Path(result))))
        return
    print("| | side | most memory, MiB | in tiles | seconds | in tiles | differs, mean | largest |\n|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for way in given.ways:
            for side in given.sides:
                rows = [run(way, side, name, Path(folder) / "whole.pt") for name in ("whole", "tiled")]
                cells = [f"{row[key]:.{digits}f}" for key, digits in (("mib", 0), ("seconds", 1)) for row in rows]
                cells += [f"{rows[1][key]:.2g}" for key in ("mean", "largest")]
                print(f"| {way} | {side} | {' | '.join(cells)} |", flush=True)


def run(way: str, side: int, name: str, result: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", way, str(side), name, str(result)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
