"""Another mask takes the place of a sample's own: row, objects and files follow."""

import numpy as np

from seediff.dataset.sample import CONFIGS, SOFT, Sample, repainted
from seediff.dataset.shapes.objects import Objects


def test_objects_follow_and_what_shows_the_old_mask_goes():
    labels = np.array([[1, 1, 0, 2]], np.uint8)
    extras = {(SOFT, 1): b"", ("attention", None): b"", (CONFIGS, None): b""}
    objects = Objects(np.array([[1, 1, 0, 2]]), (1, 2), (0.5, 0.25))
    sample = Sample(np.zeros((1, 4, 3), np.uint8), labels, objects, {"seed": 3}, name="a", extras=extras)
    row = sample.row.of_other_mask(least_piece=2)
    after = repainted(sample, lambda: np.array([[1, 1, 0, 0]], np.uint8), row)
    assert (after.label_map.tolist(), after.row, after.name) == ([[1, 1, 0, 0]], row, "a")
    assert (after.instances.numbers.tolist(), after.instances.class_ids) == ([[1, 1, 0, 0]], (1,))
    assert {kind for kind, _ in after.extras} == {"attention", CONFIGS}
    assert repainted(sample.replace(instances=None), labels, row).instances is None
