"""How often 95 % intervals of `seediff evaluate` cover the true score, in simulated sets of pictures.

    python benchmarks/coverage.py

Of 27 classes, pictures show 7 often (half of the pictures), 10 at times (12 %) and 10 seldom (3 %). False positives may
also be in pictures that do not show the class. The true scores are those of 200,000 pictures.
"""

from __future__ import annotations

import numpy as np

from seediff.evaluate.score_list import often_shown
from seediff.metrics.scores import FEWEST, Estimate, class_iou, mean_estimate, resample

SHOWN = np.repeat([0.5, 0.12, 0.03], [7, 10, 10])  # in what share of the pictures a class is
FOUND = np.random.default_rng(1).uniform(0.1, 0.75, len(SHOWN))  # what share of its pixels is found
SETS, DRAWS = 500, 1000


def pictures(count: int, rng: np.random.Generator) -> np.ndarray:
    """The counts (count, 3, C) of made-up pictures."""
    shape = (count, len(SHOWN))
    shown = rng.random(shape) < SHOWN
    size = rng.lognormal(8, 0.9, shape).astype(int) * shown
    tp = rng.binomial(size, np.clip(FOUND + rng.normal(0, 0.2, shape), 0.02, 0.98))
    near = rng.binomial(2 * size, 0.1)
    elsewhere = ~shown * (rng.random(shape) < 0.02) * rng.lognormal(6.5, 1, shape).astype(int)
    return np.stack([tp, near + elsewhere, size - tp], 1)


def main() -> None:
    true = dict(enumerate(class_iou(pictures(200_000, np.random.default_rng(7)).sum(0)).tolist()))
    for count in (40, 100, 500):
        means: list[bool] = []
        classes: dict[str, list[bool]] = {f"{FEWEST} to 9": [], "10 and more": []}
        for seed in range(SETS):
            images = pictures(count, np.random.default_rng(500 + seed))
            ious = resample(images, seed=0, draws=DRAWS).of_classes(map(str, true))
            mean = mean_estimate("mIoU", ious.values())
            mean = [mean, *often_shown(mean)][-1]
            means.append(covers(mean, float(np.mean([true[int(name)] for name in mean.classes]))))
            for name, iou in ious.items():
                if iou.pictures >= FEWEST:
                    few = iou.pictures < 10
                    classes[f"{FEWEST} to 9" if few else "10 and more"].append(covers(iou, true[int(name)]))
        print(f"{count} pictures: mIoU, or the mean of often shown classes: {np.mean(means):.1%}")
        for pictures_of_class, hits in classes.items():
            print(f"    classes that {pictures_of_class} show: {np.mean(hits):.1%} of {len(hits)}")


def covers(estimate: Estimate, true: float) -> bool:
    low, high = estimate.ci95
    return low <= true <= high


if __name__ == "__main__":
    main()
