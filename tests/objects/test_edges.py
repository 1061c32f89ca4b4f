"""Attention boundary divergence against plain float64 loops, and the strip worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seediff.objects.edges import boundary_divergence, edges


def reference(rows: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    def row(i: int, j: int) -> np.ndarray:
        return rows[min(max(i, 0), grid[0] - 1) * grid[1] + min(max(j, 0), grid[1] - 1)]

    def kl(p: np.ndarray, q: np.ndarray) -> float:
        return sum(a * (math.log(max(a, 1e-12)) - math.log(max(b, 1e-12))) for a, b in zip(p, q, strict=True))

    return np.array([[kl(row(i + 1, j), row(i - 1, j)) + kl(row(i, j + 1), row(i, j - 1)) for j in range(grid[1])] for i in range(grid[0])])


@pytest.mark.parametrize("grid", [(1, 6), (4, 5), (3, 1), (1, 1)])
def test_divergence_is_the_definitions(grid):
    rows = np.random.default_rng(3).random((grid[0] * grid[1],) * 2) ** 3
    rows[0, :2] = 0
    rows /= np.maximum(rows.sum(1, keepdims=True), 1e-12)
    assert boundary_divergence(rows, grid) == pytest.approx(reference(rows, grid), abs=1e-9)


@pytest.mark.parametrize("grid", [(1, 6), (6, 1)])
def test_a_strip_by_hand(grid):
    half = np.array([0.3] * 3 + [1 / 30] * 3)
    divergence = boundary_divergence(np.stack([half] * 3 + [half[::-1]] * 3), grid).ravel()
    assert divergence == pytest.approx([0, 0, 0.8 * math.log(9), 0.8 * math.log(9), 0, 0], abs=1e-12)
    assert divergence[2] == pytest.approx(1.758, abs=5e-4)


def test_edges_are_above_the_mean_of_the_mask():
    divergence = np.array([[0.0, 0, 4, 0, 9]])
    inside = np.array([[True, True, True, True, False]])
    assert edges(divergence, inside, 1).tolist() == [[False, False, True, False, True]]
    assert not edges(divergence, np.zeros((1, 5), bool), 1).any()
