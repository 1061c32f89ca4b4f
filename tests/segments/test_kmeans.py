import numpy as np
import pytest
import torch
from region_maps import region_maps

from seediff.segments import kmeans as module
from seediff.segments.aggregate import aggregate
from seediff.segments.kmeans import kmeans


def plain_lloyd(rows, centres):
    """Lloyd in float64 until no label changes; no cluster may become empty."""
    labels = np.full(len(rows), -1)
    for _ in range(300):
        nearest = np.stack([((rows - c) ** 2).sum(1) for c in centres]).argmin(0)
        if (nearest == labels).all():
            break
        labels = nearest
        centres = np.stack([rows[labels == c].mean(0) for c in range(len(centres))])
    return labels, centres


@pytest.fixture(scope="module")
def rows():
    return aggregate(region_maps(16, seed=1), (16, 16))


@pytest.mark.parametrize("k", [1, 2, 13])
def test_equals_plain_lloyd_from_given_centres(rows, k, monkeypatch):
    monkeypatch.setattr(module, "TOLERANCE", 0)
    initial = rows[torch.linspace(0, len(rows) - 1, k).long()]
    expected, means = plain_lloyd(rows.double().numpy(), initial.double().numpy())
    labels, centres = kmeans(rows, k, initial=initial)
    assert (labels.numpy() == expected).all()
    np.testing.assert_allclose(centres.numpy(), means, rtol=1e-6, atol=1e-11)


def test_seeds_are_spread_and_repeatable():
    """Four far groups of unequal size: k-means++ finds all of them, whatever the seed."""
    generator = torch.Generator().manual_seed(0)
    groups = torch.tensor([0] * 100 + [1] * 20 + [2] * 5 + [3] * 2)
    values = torch.eye(4)[groups] * 50 + torch.randn(len(groups), 4, generator=generator)
    for seed in range(5):
        labels, centres = kmeans(values, 4, seed=seed)
        assert all(len(labels[groups == g].unique()) == 1 for g in range(4))
        assert len(labels.unique()) == 4
        again = kmeans(values, 4, seed=seed)
        assert torch.equal(labels, again[0])
        assert torch.equal(centres, again[1])
    firsts = {module._plus_plus(values, 4, seed)[0] for seed in range(20)}
    assert len(firsts) > 5


def test_an_empty_cluster_takes_the_farthest_row():
    values = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    initial = torch.tensor([[1.0], [100.0], [1000.0]])
    labels, centres = kmeans(values, 3, initial=initial)
    assert labels[3] == 1
    assert len(labels.unique()) == 3
    assert centres[labels[3]] == 10
