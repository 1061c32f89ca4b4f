"""How often a GPU is waited for while a photograph is divided, and how many operations it is given, counted on a CPU.

    PYTHONPATH=tests/builders python benchmarks/waits.py

Synthetic attention of Stable Diffusion's shape (64² latents) on a pretended device (`tests/builders/pretended.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from pretended import Pretended  # pyright: ignore[reportMissingImports]  # of the tests
from region_maps import region_maps  # pyright: ignore[reportMissingImports]

from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import diffseg
from seediff.segments.kmeans import kmeans_proposals
from seediff.segments.suppression import label

THRESHOLDS = (0.5,) * 3
"""Below 1.1: these regions are told apart less clearly than a photograph's."""


def count(name: str, work: Callable[[Any], object]) -> None:
    with Pretended() as device:
        work(device)
    print(f"{name:24} {device.waits:5} waits {device.operations:7} operations")


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    maps = region_maps(64)
    rows = aggregate(maps, (64, 64))
    found = diffseg(rows, kl_thresholds=THRESHOLDS)
    count("aggregation", lambda device: aggregate({side: device.put(one) for side, one in maps.items()}, (64, 64)))
    count("DiffSeg", lambda device: diffseg(device.put(rows), kl_thresholds=THRESHOLDS))
    count("its label map, 512²", lambda device: label(device.put(found), (512, 512)))
    for k in (6, 20):
        count(f"K-Means, k = {k}", lambda device, k=k: kmeans_proposals(device.put(rows), k, seed=1))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
