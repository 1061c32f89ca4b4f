from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from region_maps import region_maps

from seediff.devices import cpu_threads
from seediff.segments import divergence
from seediff.segments.aggregate import aggregate
from seediff.segments.divergence import closer_than, kl_error, symmetric_kl


def plain_kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """½ (KL(p‖q) + KL(q‖p)) in float64, of (…, N) and (…, N)."""
    p, q = p.astype(np.float64), q.astype(np.float64)
    difference = np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(q, 1e-12))
    return ((p * difference).sum(-1) - (q * difference).sum(-1)) / 2


def all_pairs(anchors: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
    return np.stack([plain_kl(anchor[None], rows.numpy()) for anchor in anchors.numpy()])


def fast_pairs(rows: torch.Tensor) -> np.ndarray:
    """`all_pairs` of rows with themselves, by float64 products: right to about 1e-14."""
    p = rows.double().numpy()
    logs = np.log(np.maximum(p, 1e-12))
    entropies, cross = (p * logs).sum(1), p @ logs.T
    return (entropies[:, None] + entropies - cross - cross.T) / 2


def random_rows(count: int, positions: int, seed: int, sharpness: float = 2.0) -> torch.Tensor:
    return (sharpness * torch.randn(count, positions, generator=torch.Generator().manual_seed(seed))).softmax(1)


@given(st.integers(0, 1000), st.sampled_from([1, 2, 30, 300]), st.sampled_from([0.1, 2.0, 8.0]), st.booleans())
@settings(PATIENT, max_examples=40)
def test_equals_the_plain_reference(seed: int, positions: int, sharpness: float, zeros: bool):
    rows = random_rows(12, positions, seed, sharpness)
    if zeros:
        rows = torch.where(rows < rows.median(1, keepdim=True).values, 0, rows)
        rows /= rows.sum(1, keepdim=True)
    anchors = rows[:5]
    expected = all_pairs(anchors, rows)
    for dtype in (torch.float32, torch.float64):
        found = symmetric_kl(anchors.to(dtype), rows.to(dtype)).numpy()
        limit = np.vectorize(lambda d, kind=dtype: kl_error(positions, d, kind))(expected)
        assert (np.abs(found - expected) <= limit + 1e-15).all()


@given(st.integers(0, 1000), st.integers(2, 60))
@settings(PATIENT, max_examples=20)
def test_a_symmetric_divergence(seed: int, positions: int):
    rows = random_rows(10, positions, seed).double()
    distances = symmetric_kl(rows, rows)
    torch.testing.assert_close(distances, distances.T, rtol=1e-12, atol=1e-13)
    assert distances.diagonal().abs().max() < 1e-13
    assert distances.min() > -1e-13


def test_a_million_decisions_are_those_of_float64():
    rows = aggregate(region_maps(32, seed=3), (32, 32))
    assert len(rows) ** 2 >= 1_000_000
    expected = fast_pairs(rows)
    np.testing.assert_allclose(expected[:20], all_pairs(rows[:20], rows), atol=1e-13)
    for threshold in (*np.quantile(expected, [0.02, 0.3, 0.7]), 1e-9, 1.0):
        clear = np.abs(expected - threshold) > 1e-12  # closer than that, float64 itself depends on the order of its sum
        assert clear.sum() >= 1_000_000
        found = closer_than(rows, rows, float(threshold)).numpy()
        assert (found == (expected < threshold))[clear].all()


@pytest.mark.parametrize("many", [0, divergence.MANY])
def test_pairs_at_the_threshold(monkeypatch: pytest.MonkeyPatch, many: int):
    """Rows moved towards others until their distance to an anchor is the threshold, as near as float32 rows can be."""
    monkeypatch.setattr(divergence, "MANY", many)
    anchors, targets, threshold = random_rows(150, 900, 0), random_rows(150, 900, 1), 0.8
    low, high = torch.zeros(150, 1, dtype=torch.float64), torch.ones(150, 1, dtype=torch.float64)
    rows = targets
    for _ in range(40):
        middle = (low + high) / 2
        rows = (anchors + middle * (targets.double() - anchors)).float()
        below = torch.from_numpy(plain_kl(anchors.numpy(), rows.numpy()) < threshold)[:, None]
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    expected = all_pairs(anchors, rows)
    distances = expected.diagonal()
    assert np.abs(distances - threshold).max() < 1e-6
    plain_float32 = symmetric_kl(anchors, rows) < threshold
    assert (plain_float32.diagonal().numpy() != (distances < threshold)).sum() > 10  # or this would test nothing
    clear = np.abs(expected - threshold) > 1e-13
    assert (closer_than(anchors, rows, threshold).numpy() == (expected < threshold))[clear].all()


def test_the_threshold_itself_is_not_closer():
    p, q = random_rows(2, 500, 0)
    distance = float(divergence._term_by_term(p[None], q[None]))
    assert not closer_than(p[None], q[None], distance)
    assert closer_than(p[None], q[None], math.nextafter(distance, 1e9))


def test_a_row_is_closer_to_itself_than_any_threshold():
    rows = random_rows(20, 1000, 0)
    assert closer_than(rows, rows, 1e-12).equal(torch.eye(20, dtype=torch.bool))


def test_the_error_bound_is_what_was_measured():
    assert kl_error(4096, 1.1, torch.float32) == pytest.approx(1.7e-4, rel=0.02)
    assert kl_error(4096, 1.1, torch.float64) < 4e-13


@cpu_threads(1)
def test_decisions_and_inputs_do_not_depend_on_threads_place_or_bands(monkeypatch: pytest.MonkeyPatch):
    rows = aggregate(region_maps(16), (16, 16))
    before = rows.clone()
    threshold = float(symmetric_kl(rows[:30], rows).median())
    expected = closer_than(rows[:30], rows, threshold)
    for count, band, misaligned in ((2, 7, 1), (3, 100, 3)):
        torch.set_num_threads(count)
        monkeypatch.setattr(divergence, "BAND", band)
        elsewhere = torch.empty(rows.numel() + misaligned)[misaligned:].view_as(rows).copy_(rows)
        assert torch.equal(closer_than(elsewhere[:30], elsewhere, threshold), expected)
    assert torch.equal(rows, before)
