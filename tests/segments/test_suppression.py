from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from torch.profiler import ProfilerActivity, profile

from seediff.devices import cpu_threads
from seediff.segments import suppression
from seediff.segments.suppression import label


def plain_label(proposals: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """All proposals upsampled at once in float64, then the highest; used ids made consecutive."""
    best = F.interpolate(proposals.double()[None], size, mode="bilinear")[0].argmax(0).numpy()
    return np.unique(best, return_inverse=True)[1].reshape(size)


@given(
    st.integers(0, 1000),
    st.integers(1, 12),
    st.sampled_from([2, 5, 16]),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([20, 1000, suppression.CHUNK["cpu"]]),
    st.sampled_from([1, 300, suppression.ROWS["cpu"]]),
)
@settings(PATIENT, max_examples=60)
def test_equals_the_plain_reference_in_any_bands(
    seed: int, count: int, side: int, size: tuple[int, int], chunk: int, rows: int
):
    proposals = torch.rand(count, side, side, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(suppression.CHUNK, "cpu", chunk)
        patch.setitem(suppression.ROWS, "cpu", rows)
        found = label(proposals, size)
    assert found.dtype == torch.int32
    assert (found.numpy() == plain_label(proposals, size)).all()


def test_a_narrow_photograph_with_many_proposals_needs_little_memory():
    """Each allocation is far below what all proposals at all rows would take: 50 MiB."""
    proposals = torch.rand(256, 32, 32, generator=torch.Generator().manual_seed(0))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        label(proposals, (1600, 8))
    largest = max((event.self_cpu_memory_usage for event in seen.events() or []), default=0)
    assert 0 < largest < 2**25


def test_the_whole_map_is_never_copied():
    proposals = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    proposals[1] = 0  # wins nowhere, so that ids have to change
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        found = label(proposals, (2000, 2000))
    assert found.max() == 1
    sizes = sorted(event.self_cpu_memory_usage for event in seen.events() or [])
    assert sizes[-1] == found.numel() * 4
    assert sizes[-2] < found.numel()


def test_bits_do_not_depend_on_threads():
    proposals = torch.rand(9, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = label(proposals, (300, 211))
    for count in (2, 3):
        with cpu_threads(count):
            assert torch.equal(label(proposals, (300, 211)), expected)
