from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENT

from seediff.errors import UserError
from seediff.study.segments.scores import floor_segments, kmeans


def two_halves(height: int = 40, width: int = 60) -> np.ndarray:
    """Left red, right blue."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = image[:, width // 2 :, 2] = 255
    return image


def test_kmeans_finds_separate_groups():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    group = rng.integers(0, 4, 200)
    labels = kmeans(centres[group] + rng.normal(0, 0.001, (200, 2)), 4)
    assert len({(a, b) for a, b in zip(group, labels, strict=True)}) == 4  # one cluster a group


@PATIENT
@given(st.integers(1, 8), st.integers(0, 1000))
def test_kmeans_is_a_fixed_point(k, seed):
    points = np.random.default_rng(seed).random((60, 3))
    labels = kmeans(points, k, seed=seed)
    used = np.unique(labels)
    means = np.stack([points[labels == c].mean(0) for c in used])
    distance = ((points[:, None] - means) ** 2).sum(-1)
    np.testing.assert_array_equal(used[distance.argmin(1)], labels)
    np.testing.assert_array_equal(labels, kmeans(points, k, seed=seed))


def test_more_clusters_than_distinct_points():
    points = np.repeat(np.eye(3), 5, axis=0)
    assert len(np.unique(kmeans(points, 10))) == 3


def test_segments_follow_colours_at_the_photograph_s_size():
    found = floor_segments(two_halves(), 2)
    assert (found.shape, found.dtype) == ((40, 60), np.int32)
    assert len(np.unique(found[:, :29])) == len(np.unique(found[:, 31:])) == 1
    assert found[0, 0] != found[0, -1]
    assert np.array_equal(floor_segments(two_halves(), 5, seed=3), floor_segments(two_halves(), 5, seed=3))
    assert (floor_segments(two_halves(), 1) == 0).all()
    for k in (0, 64 * 64 + 1):
        with pytest.raises(UserError, match=f"k = {k}: must be between 1 and 4096"):
            floor_segments(two_halves(), k)
