"""The most memory that `predict` takes: pictures of 12 megapixels, one and eight together, 20 classes and the background.

    python benchmarks/predict_memory.py                              # half a minute on one core
    PYTHONPATH=OTHER/src python benchmarks/predict_memory.py         # the same of another version

Each batch has a process of its own. Shown is the highest resident memory, and how much of it came after the network and the pictures were
there. The network is SegFormer's smallest shape without training: what is enlarged to a picture's size is the same in all.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import numpy as np
import torch

from seediff.train.predict import Segmenter

CLASSES = tuple(f"class {number}" for number in range(1, 21))


def measure(batch: int, width: int, height: int) -> dict[str, float]:
    """MiB of this process: before, at most, and of the pictures."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = SegformerForSemanticSegmentation(SegformerConfig(num_labels=len(CLASSES) + 1)).eval()  # type: ignore[call-arg]
    segmenter = Segmenter(network, CLASSES, 512, "cpu", None)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(batch)]
    before = peak()
    segmenter.label_maps(images)
    return {"batch": batch, "pictures": sum(image.nbytes for image in images) / 2**20, "before": before, "most": peak()}


def peak() -> float:
    """MiB; what the system counts in KiB, and macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--size", type=int, nargs=2, default=[4000, 3000], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.batches[0], *given.size)))
        return
    print("| pictures together | their bytes, MiB | most memory, MiB | of it while predicting |\n|---|---|---|---|")
    for batch in given.batches:
        command = [sys.executable, __file__, "--one", "--batches", str(batch), "--size", *map(str, given.size)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"| {batch} | {row['pictures']:.0f} | {row['most']:.0f} | {row['most'] - row['before']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
