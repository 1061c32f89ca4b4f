import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seediff.config.methods import SegmentConfig
from seediff.segments.diffcut import by_appearance, cut_features
from seediff.segments.labelling import label


def diffcut(features, *, size, tau=0.5, alpha=10):
    """Segments (H, W) of one image's features."""
    config = SegmentConfig(method="diffcut", cut_threshold=tau, cut_power=alpha)
    return label(cut_features(features, config), size)


def published_cut(graph, tau, painted, clusters, level=0):
    """`recursive_ncut` of PaulCouairon/DiffCut (MIT, © 2024 Paul Couairon): appends a mask (N,) a cut."""
    graph = graph * (1 - np.outer(painted, painted))
    keep = np.arange(len(graph)) if level == 0 else np.flatnonzero((graph != 0).all(1))
    small = graph[np.ix_(keep, keep)]
    if len(small) < 2:
        return
    degrees = small.sum(1)
    laplacian = np.diag(degrees) - small
    vector = np.linalg.eigh(laplacian / np.sqrt(np.outer(degrees, degrees)))[1][:, 1] / np.sqrt(degrees)
    first = np.flatnonzero(np.abs(vector) > np.abs(vector).max() * (1 - 1e-9))[0]  # both, of two positions
    vector = vector * np.sign(vector[first])
    costs, partitions = [], []
    for threshold in np.linspace(vector.min() * 0.99, vector.max() * 0.99, 100):
        x = np.where(vector > threshold, 1.0, -1.0)
        share = degrees[x > 0].sum() / degrees.sum()
        y = (1 + x) - share / (1 - share) * (1 - x)
        costs.append(y @ laplacian @ y / (y @ (degrees * y)))
        partitions.append(x > 0)
    if min(costs) < tau:
        cluster = np.zeros(len(graph))
        cluster[keep[partitions[int(np.argmin(costs))]]] = 1
        clusters.append(cluster)
        for mask in (1 - cluster, cluster):
            published_cut(graph, tau, np.minimum(painted + mask, 1), clusters, level + 1)


def published(features, tau, alpha, size):
    """`generate_masks` of the same program: features are enlarged, pixels compared with the clusters' means."""
    unit = F.normalize(features.double(), dim=0)
    cosine = (unit.flatten(1).T @ unit.flatten(1)).numpy()
    clusters = []
    published_cut(
        ((cosine - cosine.min()) / (cosine.max() - cosine.min())) ** alpha, tau, np.zeros(len(cosine)), clusters
    )
    assembled, value = np.zeros(len(cosine)), 1.0
    for cluster in clusters:
        assembled += value * cluster
        value = assembled.max() + 1
    means = torch.stack(
        [unit.flatten(1)[:, torch.from_numpy(assembled == one)].mean(1) for one in np.unique(assembled)]
    )
    enlarged = F.interpolate(unit[None], size, mode="bilinear")[0]
    return torch.einsum("kc,chw->khw", means, enlarged).argmax(0).numpy()


def smooth(side, seed):
    """Features (C, h, w) that vary smoothly, with an offset that all share and a little noise, as those of a UNet
    do.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 8, 4, 4, generator=generator)
    features = F.interpolate(coarse, (side, side) if isinstance(side, int) else side, mode="bicubic")[0]
    features = features + torch.randn(8, 1, 1, generator=generator)
    return features + 0.05 * torch.randn(features.shape, generator=generator)


@pytest.mark.parametrize(("tau", "alpha"), [(0.3, 10), (0.7, 15), (0.5, 0.5)])
def test_equals_the_published_program(tau, alpha):
    counts = []
    for side, seed in ((4, 0), (7, 1), (8, 2), (10, 3), ((6, 10), 5), ((5, 8), 0)):
        features = smooth(side, seed)
        ours = diffcut(features, tau=tau, alpha=alpha, size=(45, 32))
        theirs = published(features, tau, alpha, (45, 32))
        assert ours.dtype == np.int32
        counts.append(ours.max() + 1)
        assert counts[-1] == len(np.unique(theirs))
        # scores in float32 and float64: pixels on an edge
        assert (by_appearance(ours) == by_appearance(theirs)).mean() > 0.998
    if tau >= 0.5 and alpha >= 10:
        assert max(counts) > 2  # or the recursion was not tested


@pytest.mark.parametrize("side", [6, 14])  # all eigenvectors, Lanczos
def test_equal_eigenvalues_do_not_depend_on_rounding(side):
    """Three equal, evenly spaced kinds of features: λ2 = λ3, any mixture is an eigenvector, and last digits would
    choose.
    """
    angle = torch.arange(side * side).reshape(side, side) % 3 * 2 * torch.pi / 3
    features = torch.stack([angle.cos(), angle.sin(), torch.ones_like(angle)]).double()
    segments = diffcut(features, tau=0.9, size=(side, side))
    assert segments.max() > 0
    for seed in range(5):
        rounding = 1e-14 * torch.randn(
            features.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        assert np.array_equal(diffcut(features + rounding, tau=0.9, size=(side, side)), segments)


def degenerate():
    halves, lonely, absent = torch.ones(3, 3, 6, 6)
    halves[:, 3:] = -1
    lonely[:, 2, 2] = torch.tensor([1.0, -1.0, 0.0])
    absent[:, :2] = 0
    rounding = torch.full((5, 8, 8), 3.0) * (1 + 1e-7 * torch.randn(5, 8, 8))
    return halves, lonely, absent, rounding, torch.randn(5, 1, 1), torch.randn(5, 6, 6).half() * 1e-3


def test_degenerate_features():
    torch.manual_seed(0)
    found = [diffcut(features, tau=2.0, size=(7, 11)) for features in degenerate()]
    assert all(set(np.unique(segments)) == set(range(segments.max() + 1)) for segments in found)
    halves, _, _, rounding, one_position, _ = found
    assert np.array_equal(halves, np.arange(7)[:, None].repeat(11, 1) > 3)
    assert rounding.max() == one_position.max() == 0
