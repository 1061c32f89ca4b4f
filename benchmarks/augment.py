"""Pictures a second and core that `seediff augment` makes, by operation.

    PYTHONPATH=src python benchmarks/augment.py               # about a minute on one core
    PYTHONPATH=src python benchmarks/augment.py --kornia      # also kornia's operations on the same pictures, one thread

"alone" is the operation on arrays. "whole" is all that happens to a picture: its files and those of the others in it are read and decoded,
the result is encoded (as what its source is), and its row is made; nothing is written. Scenes are smooth regions with some noise, JPEG of
quality 95, which is more to decode than a photograph. Shown are medians of rates over pictures, in CPU time: what another process takes
of the core does not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from evaluate import smooth_regions

from seediff.config.augment import AugmentConfig
from seediff.dataset.augment import RANDOM, Picture, apply
from seediff.dataset.native import encode_image
from seediff.dataset.sample import Sample
from seediff.dataset.store import write_native
from seediff.run.augment import AugmentJob, Task, read_sample

CLASSES = 6
NAMES = (*RANDOM, "splice-1x2", "splice-2x2", "splice-3x3", "splice-5x5", "splice-8x8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--kornia", action="store_true")
    given = parser.parse_args()
    for side in given.sides:
        with tempfile.TemporaryDirectory() as folder:
            write_native(Path(folder) / "set", [f"class {i}" for i in range(1, CLASSES)], scenes(side, 24), about={})
            job = AugmentJob(AugmentConfig(), Path(folder) / "set")
            pictures = [read_sample(item, job.classes) for item in job.samples]
            print(f"{side}×{side}{'':10} alone/s   whole/s")
            for name in NAMES:
                alone = rates(partial(one_alone, name, pictures), given.pictures)
                whole = rates(partial(one_whole, name, job), given.pictures)
                print(f"  {name:14} {alone:9.0f} {whole:9.0f}", flush=True)
        if given.kornia:
            compare_kornia(pictures, given.pictures)


def scenes(side: int, count: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    items = []
    for number in range(count):
        labels = smooth_regions(rng, CLASSES, side).astype(np.uint8)
        image = rng.integers(0, 200, (CLASSES, 3))[labels] + rng.integers(0, 56, (side, side, 3))
        picture = encode_image(image.astype(np.uint8), "jpg")
        items.append(Sample(picture, partial(np.copy, labels), name=f"{number:06d}"))
    return items


def one_alone(name: str, pictures: list[Picture], number: int) -> None:
    rng = np.random.default_rng(number)
    after, _ = apply(pictures[number % len(pictures)], (name,), rng, AugmentConfig().strength, lambda count: (pictures * 3)[:count])
    for array in (after.image, after.labels):
        np.ascontiguousarray(array)


def one_whole(name: str, job: AugmentJob, number: int) -> None:
    job.make(Task(f"t{number}", number % len(job.samples), (name,), number))


def rates(function: Callable[[int], object], count: int) -> float:
    """The median of pictures per second over `count` calls, after one that is not counted."""
    function(0)
    seconds = []
    for number in range(count):
        before = time.process_time()
        function(number)
        seconds.append(time.process_time() - before)
    return 1 / statistics.median(seconds)


def compare_kornia(pictures: list[Picture], count: int) -> None:
    """kornia's operations with the strengths of ours: a uint8 picture and its label map to tensors, changed, and back."""
    import torch
    from kornia import augmentation  # pyright: ignore[reportMissingImports]  # only for --kornia

    torch.set_num_threads(1)
    side = pictures[0].labels.shape[0]
    sigma = 0.01 * side
    kernel = 2 * round(3 * sigma) + 1
    operations = {
        "noise": augmentation.RandomGaussianNoise(std=0.06, p=1.0),
        "blur": augmentation.RandomGaussianBlur((kernel, kernel), (sigma, sigma), p=1.0),
        "perspective": augmentation.RandomPerspective(0.5, p=1.0),
        "flip": augmentation.RandomHorizontalFlip(p=1.0),
        "colour": augmentation.ColorJitter(0.4, 0.4, 0.4, 0.05, p=1.0),
    }
    for name, operation in operations.items():
        both = augmentation.AugmentationSequential(operation, data_keys=["input", "mask"])

        def theirs(number: int, both: augmentation.AugmentationSequential = both) -> None:
            one = pictures[number % len(pictures)]
            image = torch.tensor(one.image).permute(2, 0, 1)[None].float() / 255
            image, mask = both(image, torch.tensor(one.labels)[None, None].float())
            (image[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
            mask[0, 0].byte().numpy()

        print(f"  {name:14} {rates(theirs, count):9.0f}   kornia alone", flush=True)


if __name__ == "__main__":
    main()
