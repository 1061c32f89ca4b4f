from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from region_maps import region_maps

from seediff.devices import cpu_threads
from seediff.segments import exact_sums
from seediff.segments.exact_sums import add_product, in_units, product_error, sums_of_members, whole_unit


@given(st.integers(0, 1000), st.integers(1, 40), st.sampled_from([1e-20, 1.0, 3e7]))
@settings(PATIENT, max_examples=30)
def test_sums_are_exact_sums_of_rows_rounded_to_the_unit(seed: int, count: int, scale: float):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 3, generator=generator).exp() * torch.randn(count, 3, generator=generator).sign() * scale
    members = torch.rand(4, count, generator=generator) < 0.5
    unit = Fraction(whole_unit(rows))
    found = sums_of_members(rows, members)
    for a in range(4):
        for column in range(3):
            exact = sum(round(Fraction(float(v)) / unit) for v in rows[members[a], column]) * unit
            assert Fraction(float(found[a, column])) == exact
    assert (in_units(rows, float(unit)) * float(unit) - rows).abs().max() <= float(unit) / 2


@cpu_threads(1)
def test_sums_do_not_depend_on_order_bands_or_threads(monkeypatch: pytest.MonkeyPatch):
    rows = region_maps(16)[16, 16]
    members = torch.rand(30, 256, generator=torch.Generator().manual_seed(1)) < 0.3
    expected = sums_of_members(rows, members)
    shuffled = torch.randperm(256, generator=torch.Generator().manual_seed(2))
    for band, count in ((1, 1), (7, 2), (300, 3)):
        monkeypatch.setattr(exact_sums, "BAND", band)
        torch.set_num_threads(count)
        assert torch.equal(sums_of_members(rows, members), expected)
        assert torch.equal(sums_of_members(rows[shuffled], members[:, shuffled]), expected)
    torch.testing.assert_close(expected, members.double() @ rows.double(), rtol=1e-9, atol=1e-12)


def test_rows_are_kept():
    rows = torch.rand(5, 4, dtype=torch.float64)
    before = rows.clone()
    sums_of_members(rows, torch.ones(1, 5, dtype=torch.bool))
    assert torch.equal(rows, before)


@pytest.mark.parametrize("terms", [1, 255, 256, 257, 3000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_stay_within_their_bound(terms: int, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(20, terms, generator=generator).to(dtype)
    right = torch.randn(30, terms, generator=generator).to(dtype)
    start = torch.zeros(20, 30, dtype=dtype)
    found = add_product(start, left, right)
    assert found is start
    bound = product_error(terms, dtype) * (left.double().abs() @ right.double().abs().T)
    reference = left.double() @ right.double().T
    assert ((found - reference).abs() <= bound + 1e-300).all()
