"""Drawing compiled and not, with capture beside it and without: seconds of a step, and of the first pictures, which compile.

    python benchmarks/compiled.py --threads 1 --batch 4 --steps 3 --rounds 3       # the embedded model, on the CPU
    python benchmarks/compiled.py --model FOLDER --device cuda

Ways are interleaved within a round, medians are shown; on a CPU they are of the processor's time, which others on the machine change less.
A step is a run's seconds less those of a run of one step, so that what is paid once is not in it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from on_gpu.device import synchronize
from on_gpu.drawing import Draws

from seediff.models.registry import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    models = {
        name: load_model(given.model, device=given.device, dtype=given.dtype, compile=name == "compiled") for name in ("eager", "compiled")
    }
    draws = {name: Draws(model, given.batch) for name, model in models.items()}
    ways = {(name, what): getattr(one, what) for name, one in draws.items() for what in ("plain", "captured")}
    device = models["eager"].device
    clock = time.process_time if device == "cpu" else time.perf_counter

    def timed(way: tuple[str, str], steps: int) -> float:
        synchronize(device)
        start = clock()
        ways[way](steps)
        synchronize(device)
        return clock() - start

    first = {way: timed(way, 2) for way in ways}
    found: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for _ in range(given.rounds):
        for way in ways:
            found[way].append((timed(way, given.steps + 1) - timed(way, 1)) / given.steps)
    plain = found["eager", "plain"]
    about = models["eager"]
    print(f"{given.model}, batch {given.batch}, {device}, {about.dtype}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| | | a step, ms | of eager plain | first picture of 2 steps, s |\n|---|---|--:|--:|--:|")
    for way, steps in found.items():
        ratio = statistics.median(a / b for a, b in zip(steps, plain, strict=True))
        print(f"| {' | '.join(way)} | {1000 * statistics.median(steps):.1f} | {ratio:.3f} | {first[way]:.1f} |")


if __name__ == "__main__":
    main()
