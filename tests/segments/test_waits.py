"""How often a GPU would be waited for, counted on a pretended one, whose results are the CPU's to the byte."""

import pytest
import torch
from pretended import Pretended
from region_maps import region_maps

from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import diffseg
from seediff.segments.tiles import label

MOST = 10


@pytest.fixture(scope="module")
def rows():
    return aggregate(region_maps(32), (32, 32))


def test_aggregation():
    maps = region_maps(32)
    with Pretended() as device:
        found = device.take(aggregate({side: device.put(one) for side, one in maps.items()}, (32, 32)))
    assert torch.equal(found, aggregate(maps, (32, 32)))
    assert device.waits <= 1


def test_diffseg_and_its_label_map(rows: torch.Tensor):
    expected = diffseg(rows, kl_thresholds=(0.5, 0.5, 0.5))
    picture = label(expected, (100, 130))
    assert picture.max() > 2
    with Pretended() as device:
        found = diffseg(device.put(rows), kl_thresholds=(0.5, 0.5, 0.5))
        seen = label(found, (100, 130))
    torch.testing.assert_close(device.take(found), expected, atol=0, rtol=0)
    assert torch.equal(seen, picture)
    assert device.waits <= MOST
