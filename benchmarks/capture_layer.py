"""What capture adds to one layer of self-attention, over the one QKᵀ that no capture of dense maps can avoid, in interleaved runs.

    python benchmarks/capture_layer.py --threads 1
    python benchmarks/capture_layer.py --positions 1024 --heads 10

Queries and keys are random; the QKᵀ goes through blocks of rows, as the scores of all would not fit a cache.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from seediff.attention.probabilities import Part, Scratch, add_probabilities

ROWS = 100
"""Queries at a time of the plain QKᵀ."""


def products(query: torch.Tensor, key: torch.Tensor, scores: torch.Tensor) -> None:
    """QKᵀ of (H, N, D) and (H, N, D), a block of rows after the other, all into `scores` (H, ROWS, N)."""
    transposed = key.transpose(1, 2)
    for rows in query.split(ROWS, 1):
        here = scores[:, : rows.shape[1]]
        torch.baddbmm(here, rows, transposed, beta=0, out=here)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--positions", type=int, default=4096)
    parser.add_argument("--heads", type=int, default=5)
    parser.add_argument("--width", type=int, default=64, help="channels a head")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: as many as there are cores")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = (1, options.positions, options.heads, options.width)
    query, key = (torch.randn(shape).transpose(1, 2) for _ in range(2))  # as layers have them
    total = torch.zeros(1, options.positions, options.positions)
    scores, scratch = torch.empty(options.heads, ROWS, options.positions), Scratch()
    ways: dict[str, Callable[[], object]] = {
        "QKᵀ alone": lambda: products(query[0], key[0], scores),
        "capture": lambda: add_probabilities([Part(total)], query, key, options.width**-0.5, normalize=True, scratch=scratch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + options.rounds):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            if turn:  # the first is to warm up
                seconds[name].append(time.perf_counter() - began)
    floor, took = (statistics.median(seconds[name]) for name in ways)
    print(f"QKᵀ alone {1000 * floor:.1f} ms, capture {1000 * took:.1f} ms: {took / floor:.2f} times")


if __name__ == "__main__":
    main()
