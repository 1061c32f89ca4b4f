from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from patience import PATIENT

from seediff.masks.expand import expand

SIDE = 6
N = SIDE * SIDE
seed_sets = arrays(np.bool_, N).filter(np.any)


def attention(seed: int = 0, side: int = SIDE) -> torch.Tensor:
    return torch.rand(side**2, side**2, generator=torch.Generator().manual_seed(seed))


@given(seed_sets)
@settings(PATIENT, max_examples=40)
def test_expansion_is_the_mean_of_the_seeds_rows(chosen: np.ndarray):
    rows = attention()
    total = np.zeros(N)
    for i in range(N):
        if chosen[i]:
            total += rows[i].double().numpy()
    expected = total / chosen.sum()
    result = expand(rows, torch.tensor(chosen).view(SIDE, SIDE))
    np.testing.assert_allclose(result.numpy().ravel(), expected, atol=1e-6)


@given(seed_sets, st.integers(0, 1000))
@settings(PATIENT, max_examples=40)
def test_permuting_positions_permutes_the_result(chosen: np.ndarray, seed: int):
    rows, seeds = attention(), torch.tensor(chosen)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    plain = expand(rows, seeds.view(SIDE, SIDE)).flatten()
    permuted = expand(rows[order][:, order], seeds[order].view(SIDE, SIDE)).flatten()
    torch.testing.assert_close(permuted, plain[order], atol=1e-6, rtol=0)


def test_one_seed_is_its_row_and_the_maps_are_not_modified():
    rows = attention()
    before = rows.clone()
    seeds = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    seeds[2, 3] = True
    assert torch.equal(expand(rows, seeds).flatten(), rows[2 * SIDE + 3])
    assert torch.equal(rows, before)


def test_no_seed_is_an_error():
    with pytest.raises(ValueError, match="seed"):
        expand(attention(), torch.zeros(SIDE, SIDE, dtype=torch.bool))
