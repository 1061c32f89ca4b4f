"""How often a GPU would be waited for, counted on a pretended one, whose results are the CPU's to the byte."""

import math

import pytest
import torch
from pretended import DEVICE, Pretended
from region_maps import region_maps

from seediff.segments import aggregate as aggregation
from seediff.segments import kmeans_device
from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import diffseg
from seediff.segments.kmeans import kmeans, kmeans_proposals
from seediff.segments.suppression import label

MOST = 10


@pytest.fixture(scope="module")
def rows():
    return aggregate(region_maps(32), (32, 32))


def test_aggregation(monkeypatch: pytest.MonkeyPatch):
    maps = region_maps(32)
    expected = aggregate(maps, (32, 32))
    for size in (0, 3 << 20, 1 << 30):  # a coarse row at a time, some of them, all
        monkeypatch.setitem(aggregation.BAND_BYTES, "cuda", size)
        with Pretended() as device:
            found = device.take(aggregate({side: device.put(one) for side, one in maps.items()}, (32, 32)))
        assert torch.equal(found, expected)
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


@pytest.mark.parametrize("k", [1, 2, 6, 20])
def test_kmeans(rows: torch.Tensor, k: int):
    expected = kmeans_proposals(rows, k, seed=1)
    with Pretended() as device:
        found = kmeans_proposals(device.put(rows), k, seed=1)
    assert torch.equal(device.take(found), expected)
    assert device.waits <= MOST
    assert device.operations < 8_000


def test_centres_of_kmeans(rows: torch.Tensor):
    labels, centres = kmeans(rows, 7, seed=3)
    with Pretended() as device:
        found = [device.take(one) for one in kmeans(device.put(rows), 7, seed=3)]
    assert torch.equal(found[0], labels)
    torch.testing.assert_close(found[1], centres, atol=0, rtol=0)


@pytest.mark.parametrize("iterations", [1, 2, 5, 300])
def test_kmeans_stops_where_it_should(rows: torch.Tensor, iterations: int):
    labels, centres = kmeans(rows, 20, seed=1, max_iterations=iterations)
    with Pretended() as device:
        found = [device.take(one) for one in kmeans(device.put(rows), 20, seed=1, max_iterations=iterations)]
    assert torch.equal(found[0], labels)
    torch.testing.assert_close(found[1], centres, atol=0, rtol=0)


def test_many_iterations_wait_no_more():
    """Rows without clusters, for which Lloyd takes long: the host looks on after 4 iterations, 8 more, 16 more, …"""
    noise = torch.rand(1024, 64, generator=torch.Generator().manual_seed(0))
    labels, centres = kmeans(noise, 20, tolerance=0)
    with Pretended() as device:
        found = [device.take(one) for one in kmeans(device.put(noise), 20, tolerance=0)]
    assert torch.equal(found[0], labels)
    torch.testing.assert_close(found[1], centres, atol=0, rtol=0)
    assert 5 < device.waits <= MOST


def test_ties_and_empty_clusters_are_the_cpus(monkeypatch: pytest.MonkeyPatch):
    """Rows of few kinds, more clusters than kinds, and more rows in doubt than are decided at once."""
    kinds = torch.eye(8)[[0, 0, 1, 2, 2, 2, 3] * 30]
    initial = torch.cat([torch.eye(8)[:3], torch.eye(8)[:1] + torch.eye(8)[1:2], torch.full((2, 8), 9.0)])
    for few in (1, 64):
        monkeypatch.setattr(kmeans_device, "DOUBTFUL", few)
        for start in (initial, initial[[1, 1, 0, 2]]):
            labels, centres = kmeans(kinds, len(start), initial=start)
            with Pretended() as device:
                found = [device.take(one) for one in kmeans(device.put(kinds), len(start), initial=device.put(start))]
            assert torch.equal(found[0], labels)
            torch.testing.assert_close(found[1], centres, atol=0, rtol=0)


def test_the_pretended_device_counts_and_refuses():
    """What would make a real device wait, each by its own; and tensors of two devices do not meet."""
    values = torch.tensor([3.0, 0.0, 2.0])
    waits = {
        "a value": lambda t: float(t[0]),
        "a condition": lambda t: bool(t.sum() > 1),
        "a list": lambda t: t.tolist(),
        "positions": lambda t: t.nonzero(),
        "a mask": lambda t: t[t > 0],
        "writing by a mask": lambda t: t.clone().__setitem__(t > 0, 1.0),
        "to the cpu": lambda t: t.cpu(),
        "from the cpu": lambda t: t + torch.ones(3).to(DEVICE),
        "counts": lambda t: t.long().bincount(),
        "unique": lambda t: t.unique(),
        "an index of one": lambda t: t[t.argmax()],
    }
    for what, does in waits.items():
        with Pretended() as device:
            there = device.put(values)
            does(there)
        assert device.waits == 1, what
    with Pretended() as device:
        there = device.put(values)
        there.mul_(2).add_(torch.tensor(1.0)).clamp_(0, 5)
        chosen = there[there.sort().indices] + torch.arange(3, device=there.device)
        assert device.waits == 0
        assert chosen.device == there.device == DEVICE
        with pytest.raises(AssertionError, match="two devices"):
            there + torch.ones(3)
    assert torch.equal(device.take(chosen), torch.tensor([1.0, 6.0, 7.0]))
    assert math.isclose(device.operations, 6, abs_tol=4)
