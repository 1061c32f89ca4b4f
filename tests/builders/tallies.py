"""Counts of pixels of made-up images."""

import numpy as np

from seediff.metrics.scores import Tally


def random_tallies(images, classes):
    rng = np.random.default_rng(0)
    tp, fp, fn = rng.integers(0, 50, (3, images, classes))
    return [Tally(*row, pixels=int((row[0] + row[2]).sum())) for row in zip(tp, fp, fn, strict=True)]
