from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENT
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.optimize import linear_sum_assignment

from seediff.attention.windows import Window, windows
from seediff.segments import tiles
from seediff.segments.tiles import label, merge_labels, merge_proposals

SIDE = 24  # positions


def known_segments(height, width, seed):
    """(H, W) ids: sky, ground, and discs of between a quarter and a half of the shorter side, which do not touch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    short = min(height, width)
    truth = (y > height * 0.45 + 0.1 * short * np.sin(x / short * 3)).astype(int)
    free = np.ones((height, width), bool)
    for _ in range(200):
        radius = short * rng.uniform(0.13, 0.25)
        distance = np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width))
        if free[distance <= radius].all():
            truth[distance <= radius] = truth.max() + 1
            free[distance <= radius * 1.3] = False
    return truth


def seen_in(truth, window, seed):
    """What a method might make of a window: proposals (P, L, L), each spread a little over the rest, and labels (L, L);
    in any order.
    """
    part = torch.from_numpy(truth[window.slices])
    shares = torch.stack([(part == i).double() for i in part.unique()])
    shares = F.interpolate(shares[None], (SIDE, SIDE), mode="area")[0]
    shares = shares[shares.sum((1, 2)) > 3]  # a few positions of something are overlooked
    shares = shares[torch.randperm(len(shares), generator=torch.Generator().manual_seed(seed))]
    soft = F.avg_pool2d(F.pad(shares[None], [1] * 4, mode="replicate"), 3, 1)[0] + 0.003
    return (soft / soft.sum((1, 2), keepdim=True)).float(), shares.argmax(0)


def agreement(truth, found):
    """Share of pixels under the best one-to-one matching."""
    table = np.zeros((truth.max() + 1, found.max() + 1))
    np.add.at(table, (truth, found), 1)
    return table[linear_sum_assignment(-table)].sum() / truth.size


def inside(truth):
    """Pixels that are more than two positions away from another segment. Discs that the border cuts may have none."""
    size = 2 * round(2.2 * min(truth.shape) / SIDE) + 1
    return maximum_filter(truth, size) == minimum_filter(truth, size)


@pytest.mark.parametrize(("shape", "seed"), [((96, 144), 0), ((171, 128), 1), ((64, 640), 0), ((15, 31), 1)])
def test_known_segments_come_back_whole(shape, seed):
    truth = known_segments(shape[0], shape[1], seed)
    cover = windows(shape[0], shape[1], "tile")
    seen = [seen_in(truth, window, n) for n, window in enumerate(cover)]
    by_divergence = merge_proposals(cover, [soft for soft, _ in seen], shape, kl_threshold=0.9)
    by_vote = merge_labels(cover, [hard for _, hard in seen], shape)
    assert agreement(truth, by_vote) > 0.95
    for found in (by_divergence, by_vote):
        assert found.dtype == np.int32
        assert found.max() == truth.max()
        assert set(np.unique(found)) == set(range(found.max() + 1))
        # Well inside each segment there is one id, and no other segment has it. Edges of proposals are another matter:
        # the smaller a segment, the higher its distribution, and the farther it reaches over its neighbours.
        pairs = np.unique(np.stack([truth[inside(truth)], found[inside(truth)]]), axis=1)
        assert pairs.shape[1] == len(set(pairs[0])) == len(set(pairs[1]))


def plain_label(proposals, size):
    """All proposals upsampled at once in float64, then the highest; used ids made consecutive."""
    best = F.interpolate(proposals.double()[None], size, mode="bilinear")[0].argmax(0).numpy()
    return np.unique(best, return_inverse=True)[1].reshape(size)


@given(
    st.integers(0, 1000),
    st.integers(1, 12),
    st.sampled_from([2, 5, 16]),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([20, 1000, tiles.CHUNK]),
    st.sampled_from([1, 300, tiles.ROWS]),
)
@settings(PATIENT, max_examples=40)
def test_a_label_map_in_any_bands_equals_the_plain_one(seed, count, side, size, chunk, rows):
    proposals = torch.rand(count, side, side, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "CHUNK", chunk)
        patch.setattr(tiles, "ROWS", rows)
        found = label(proposals, size)
    assert found.dtype == torch.int32
    assert (found.numpy() == plain_label(proposals, size)).all()


def test_edges_pass_gradually_from_one_window_to_the_next():
    """Two windows that put a horizon at different heights: in the overlap it slopes from one to the other, without a
    jump.
    """
    height, width = 96, 144
    cover = windows(height, width, "tile")
    y = torch.linspace(0, 1, SIDE)[:, None].expand(SIDE, SIDE)
    maps = [torch.stack([torch.sigmoid((at - y) * 6), torch.sigmoid((y - at) * 6)]) for at in (0.4, 0.6)]
    found = merge_proposals(cover, [m / m.sum((1, 2), keepdim=True) for m in maps], (height, width), kl_threshold=2)
    assert found.max() == 1
    horizon = (found == found[0, 0]).sum(0)
    assert horizon[0] < horizon[-1]
    steps = [b - a for a, b in pairwise(horizon.tolist())]
    assert min(steps) >= 0
    assert max(steps) <= 2


def test_labels_of_other_sides_and_windows_apart():
    """Labels may be finer than positions; windows that do not overlap are put side by side."""
    truth = known_segments(60, 90, 1)
    cover = windows(60, 90, "tile")
    found = merge_labels(cover, [torch.from_numpy(truth[w.slices]) for w in cover], truth.shape)
    assert agreement(truth, found) == 1
    apart = merge_labels([Window(0, 0, 8, 8), Window(0, 8, 8, 8)], [torch.zeros(4, 4, dtype=torch.int64)] * 2, (8, 16))
    assert (apart[:, :8] == 0).all()
    assert (apart[:, 8:] == 1).all()
