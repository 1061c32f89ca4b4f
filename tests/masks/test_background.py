from __future__ import annotations

import numpy as np
import pytest
import torch

from seediff.masks.background import background_seeds, suppress


@pytest.fixture(autouse=True)
def fixed_values():
    torch.manual_seed(0)


def test_background_seeds_are_where_the_inverse_reaches_alpha():
    soft = torch.rand(6, 6)
    seeds, flags = background_seeds(soft, 0.7)
    expected = [[bool(np.float32(1) - soft[i, j].numpy() >= np.float32(0.7)) for j in range(6)] for i in range(6)]
    assert seeds.tolist() == expected
    assert flags == ()


def test_no_background_seed_is_flagged_and_none_is_made_up():
    seeds, flags = background_seeds(torch.full((4, 4), 0.9), 0.5)
    assert not seeds.any()
    assert flags == ("no_background_seeds",)


def test_suppress_is_the_product_with_the_inverse():
    soft, background = torch.rand(5, 5), torch.rand(5, 5)
    expected = (1 - background.double()) * soft.double()
    torch.testing.assert_close(suppress(soft, background).double(), expected, atol=1e-7, rtol=0)
