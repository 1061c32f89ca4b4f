import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT

from seediff.segments import winners
from seediff.segments.winners import label


def plain_label(proposals, size):
    """All proposals upsampled at once in float64, then the highest; used ids made consecutive."""
    best = F.interpolate(proposals.double()[None], size, mode="bilinear")[0].argmax(0).numpy()
    return np.unique(best, return_inverse=True)[1].reshape(size)


@given(
    st.integers(0, 1000),
    st.integers(1, 12),
    st.sampled_from([2, 5, 16]),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([20, 1000, winners.CHUNK]),
    st.sampled_from([1, 300, winners.ROWS]),
)
@settings(PATIENT, max_examples=40)
def test_a_label_map_in_any_bands_equals_the_plain_one(seed, count, side, size, chunk, rows):
    proposals = torch.rand(count, side, side, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winners, "CHUNK", chunk)
        patch.setattr(winners, "ROWS", rows)
        found = label(proposals, size)
    assert found.dtype == torch.int32
    assert (found.numpy() == plain_label(proposals, size)).all()
