"""Label maps of rectangles, and samples with them."""

import numpy as np
from items import item


def blocks(seed, classes=3, shape=(20, 30)):
    """(H, W) uint8: rectangles with ids 0 … classes and 255."""
    rng = np.random.default_rng(seed)
    ids = np.array([0, 0, 0, *range(1, classes + 1), 255], np.uint8)
    small = rng.choice(ids, (shape[0] // 5, shape[1] // 5))
    return np.kron(small, np.ones((5, 5), np.uint8))


def some(count=4):
    return [item(f"trip/{i}", blocks(i), {"prompt": "p"}, (20, 30), ("png", "jpg")[i % 2]) for i in range(count)]
