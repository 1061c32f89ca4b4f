from __future__ import annotations

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
from seediff.segments.divergence import symmetric_kl


def plain_kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """½ (KL(p‖q) + KL(q‖p)) in float64, of (…, N) and (…, N)."""
    p, q = p.astype(np.float64), q.astype(np.float64)
    difference = np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(q, 1e-12))
    return ((p * difference).sum(-1) - (q * difference).sum(-1)) / 2


def all_pairs(anchors: torch.Tensor, rows: torch.Tensor) -> np.ndarray:
    return np.stack([plain_kl(anchor[None], rows.numpy()) for anchor in anchors.numpy()])


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
    np.testing.assert_allclose(symmetric_kl(anchors, rows).numpy(), expected, rtol=1e-12, atol=1e-12)


@cpu_threads(1)
def test_threads_place_and_bands_change_no_more_than_float64_s_last_digits(monkeypatch: pytest.MonkeyPatch):
    rows = aggregate(region_maps(16), (16, 16))
    before = rows.clone()
    expected = symmetric_kl(rows[:30], rows)
    for count, band, misaligned in ((2, 7, 1), (3, 100, 3)):
        torch.set_num_threads(count)
        monkeypatch.setattr(divergence, "BAND", band)
        elsewhere = torch.empty(rows.numel() + misaligned)[misaligned:].view_as(rows).copy_(rows)
        torch.testing.assert_close(symmetric_kl(elsewhere[:30], elsewhere), expected, rtol=0, atol=1e-12)
    assert torch.equal(rows, before)
