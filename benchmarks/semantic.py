"""How many images per second `seediff evaluate` scores on one core: the aim is 200 at 512 × 512, metrics only.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/semantic.py        # about twenty seconds

Metrics only: from two label maps in memory to the set's counts. The floor is one np.bincount of as many 64-bit integers as the image has
pixels, which every confusion matrix takes; floor and measured alternate, medians are reported, and of their ratio the median of pairs.
Seconds are those of the processor: others on the machine do not count.
`files` is the whole command's work, PNG files read and tables applied. Labels are VOC-like: about eight smooth regions with frayed edges.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from evaluate import smooth_regions

from seediff.dataset.native import encode_mask
from seediff.evaluate.evaluation import evaluate
from seediff.evaluate.labels import VOC_CLASSES
from seediff.evaluate.protocols import PROTOCOLS
from seediff.evaluate.semantic import evaluate_pairs
from seediff.metrics.boundary import boundary_counts
from seediff.metrics.confusion import Confusion


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--distinct", type=int, default=20, help="pictures that differ")
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    pairs = [make_pair(np.random.default_rng(number), given.side) for number in range(given.distinct)]
    print(f"{given.side} × {given.side} pixels, 21 classes, medians of {given.rounds} rounds")
    floors = [truth.astype(np.int64).ravel() for _, truth in pairs]
    confusion = Confusion(21)

    def floor(number: int) -> None:
        np.bincount(floors[number], minlength=21 * 21)

    def matrix(number: int) -> None:
        confusion.add(*pairs[number])

    def with_boundary(number: int) -> None:
        confusion.add(*pairs[number])
        boundary_counts(*pairs[number], 21)

    for name, action in (("confusion matrix", matrix), ("and boundary IoU", with_boundary)):
        alternate(name, action, floor, given.rounds, len(pairs))
    protocol, images = PROTOCOLS["voc"], [(str(i), *pairs[i % len(pairs)]) for i in range(given.rounds)]
    for boundary in (False, True):
        begun = time.thread_time()
        evaluate_pairs(images, protocol, boundary=boundary)
        report(f"evaluate_pairs{', boundary' if boundary else ''}, 1,000 draws", (time.thread_time() - begun) / given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder), pairs, given.rounds)
        begun = time.thread_time()
        evaluate(Path(folder) / "predictions", Path(folder) / "truth", protocol="voc")
        report("files, boundary", (time.thread_time() - begun) / given.rounds)


def make_pair(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(predicted, truth) (side, side) uint8 of 21 classes, the truth with a few ignored pixels."""
    truth = rng.integers(0, 21, 8).astype(np.uint8)[smooth_regions(rng, 8, side)]
    predicted = np.where(smooth_regions(rng, 4, side) == 0, rng.integers(0, 21), truth).astype(np.uint8)
    truth[:: side // 16] = 255
    return predicted, truth


def alternate(name: str, action: Callable[[int], None], floor: Callable[[int], None], rounds: int, distinct: int) -> None:
    """Median of an action's seconds, of the floor's, and of their ratio."""
    times = []
    for number in range(rounds):
        times.append([seconds(one, number % distinct) for one in (action, floor)])
    report(name, statistics.median(t[0] for t in times), statistics.median(t[1] for t in times), statistics.median(a / b for a, b in times))


def seconds(action: Callable[[int], None], number: int) -> float:
    begun = time.thread_time()
    action(number)
    return time.thread_time() - begun


def report(name: str, took: float, floor: float | None = None, ratio: float | None = None) -> None:
    aside = "" if floor is None else f"; floor {1000 * floor:.2f} ms, ratio {ratio:.2f}"
    print(f"{name:32} {1000 * took:6.2f} ms, {1 / took:6.0f} images/s{aside}", flush=True)


def write_set(folder: Path, pairs: list[tuple[np.ndarray, np.ndarray]], images: int) -> None:
    """predictions/ and a plain labelled folder truth/, of which the first few differ."""
    for kind in ("predictions", "truth/labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(images):
        for kind, label_map in zip(("predictions", "truth/labels"), pairs[index % len(pairs)], strict=True):
            path = folder / kind / f"{index:06d}.png"
            if index < len(pairs):
                path.write_bytes(encode_mask(label_map))
            else:
                path.hardlink_to(folder / kind / f"{index % len(pairs):06d}.png")
    for kind in ("predictions", "truth"):
        (folder / kind / "classes.txt").write_text("\n".join(VOC_CLASSES) + "\n")


if __name__ == "__main__":
    main()
