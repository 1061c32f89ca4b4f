from __future__ import annotations

import numpy as np
import pytest
import torch

from seediff.masks.seeds import find_seeds


@pytest.fixture(autouse=True)
def fixed_values():
    torch.manual_seed(0)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_seeds_are_the_positions_of_at_least_alpha(alpha: float):
    soft = torch.rand(8, 8)
    soft[2, 3] = 1
    seeds, flags = find_seeds(soft, alpha)
    expected = {(i, j) for i in range(8) for j in range(8) if soft[i, j] >= np.float32(alpha)}
    assert {(i, j) for i, j in seeds.nonzero().tolist()} == expected
    assert flags == ()


def test_alpha_itself_is_a_seed():
    assert find_seeds(torch.tensor([[0.5, 0.25]]), 0.5)[0].tolist() == [[True, False]]


def test_without_a_seed_the_highest_position_is_one_and_flagged():
    soft = torch.tensor([[0.1, 0.3], [0.2, 0.3]])
    seeds, flags = find_seeds(soft, 0.5)
    assert seeds.tolist() == [[False, True], [False, False]]  # the first of equals
    assert flags == ("no_seeds",)


def test_all_positions_may_be_seeds():
    assert find_seeds(torch.ones(4, 4), 1.0)[0].all()
