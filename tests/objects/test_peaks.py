"""The recipe of peaks, against plain loops and on maps of two objects that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from two_objects import GRID, two_objects

from seediff.objects.peaks import ROUNDS, between, merged, peak_parts, peaks, walked


def test_peaks_are_those_of_a_plain_loop():
    rng = np.random.default_rng(1)
    soft, inside = np.round(rng.random(GRID), 1), rng.random(GRID) < 0.8
    kept: list[tuple[int, int]] = []
    for i, j in sorted(zip(*np.nonzero(inside), strict=True), key=lambda p: -soft[p]):
        if all(max(abs(i - a), abs(j - b)) > 2 for a, b in kept):
            kept.append((int(i), int(j)))
    assert peaks(inside, soft).tolist() == [i * GRID[1] + j for i, j in kept]


def test_peaks_merge_as_in_a_plain_loop():
    rows, _ = two_objects(noise=0.5)
    tops = peaks(np.ones(GRID, bool), np.random.default_rng(2).random(GRID))
    edge = np.random.default_rng(3).random(GRID) < 0.05

    def distance(a: int, b: int) -> float:
        return sum((p - q) * (math.log(p) - math.log(q)) for p, q in zip(rows[a], rows[b], strict=True)) / 2

    pairs = {(a, b): distance(a, b) for n, a in enumerate(tops) for b in tops[n + 1 :]}
    limit = 0.4
    groups = {int(a): {int(a)} for a in tops}
    for (a, b), d in pairs.items():
        if d < limit and not between(edge, a, b):
            joined = groups[int(a)] | groups[int(b)]
            groups.update(dict.fromkeys(joined, joined))
    ours = merged(tops, rows, edge, limit)
    assert len({frozenset(group) for group in groups.values()}) == ours.max() + 1 > 1
    assert all(len({ours[tops.tolist().index(t)] for t in group}) == 1 for group in groups.values())


def test_an_edge_between_two_positions_is_seen():
    edge = np.zeros((5, 5), bool)
    edge[2, 2] = True
    assert between(edge, 0, 24)
    assert not between(edge, 0, 4)


def test_the_walk_is_that_of_a_plain_loop():
    rows, half = two_objects(noise=0.5)
    inside = np.random.default_rng(4).random(GRID) < 0.7
    tops = peaks(inside, np.random.default_rng(5).random(GRID))
    groups = np.arange(len(tops)) % 3
    start = np.zeros((3, half.size))
    for position in np.flatnonzero(inside):
        values = [np.mean([rows[t, position] for t in tops[groups == g]]) for g in range(3)]
        start[:, position] = np.array(values) / sum(values)
    reached = start
    for _ in range(ROUNDS):
        now = np.zeros_like(start)
        for position in np.flatnonzero(inside):
            weights = np.where(inside.ravel(), rows[position], 0)
            now[:, position] = 0.2 * start[:, position] + 0.8 * reached @ (weights / weights.sum())
        reached = now
    expected = np.where(inside.ravel(), reached.argmax(0), -1)
    names = {name: number for number, name in enumerate(sorted({*expected.tolist()} - {-1}))}
    assert walked(inside, tops, groups, rows).ravel().tolist() == [names.get(part, -1) for part in expected.tolist()]


@pytest.mark.parametrize("seed", range(3))
def test_two_objects_that_touch_are_told_apart(seed):
    rows, half = two_objects()
    parts = peak_parts(np.ones(GRID, bool), np.random.default_rng(seed).random(GRID), rows, limit=1.0, strength=1.0, least=4)
    assert parts.max() == 1
    middle = half[:, GRID[1] // 2 - 1 : GRID[1] // 2 + 1]  # the edge itself may fall to either
    sure = np.ones(GRID, bool)
    sure[:, GRID[1] // 2 - 1 : GRID[1] // 2 + 1] = False
    assert middle.any()
    assert np.array_equal(parts[sure] == parts[0, -1], half[sure])
