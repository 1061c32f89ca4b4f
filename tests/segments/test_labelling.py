import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seediff.config.method_constants import SegmentConfig
from seediff.masks.pamr import affinity, pamr, scaled_dilations
from seediff.segments import labelling
from seediff.segments.labelling import follow_edges, label


@pytest.mark.parametrize(("size", "chunk", "rows"), [((70, 41), 1000, 300), ((9, 60), 20, 1), ((1, 1), 2**18, 2**22)])
@pytest.mark.parametrize(("count", "side"), [(12, 5), (1, 2), (7, 16)])
def test_a_label_map_in_any_bands_equals_the_plain_one(count, side, size, chunk, rows, monkeypatch):
    proposals = torch.rand(count, side, side, generator=torch.Generator().manual_seed(side))
    monkeypatch.setattr(labelling, "CHUNK", chunk)
    monkeypatch.setattr(labelling, "ROWS", rows)
    best = F.interpolate(proposals.double()[None], size, mode="bilinear")[0].argmax(0).numpy()
    found = label(proposals, size)
    assert found.dtype == torch.int32
    assert (found.numpy() == np.unique(best, return_inverse=True)[1].reshape(size)).all()


def picture_and_segments(height, width):
    """Two halves of a picture, and segments whose edge is a tenth of the width off."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = 220
    exact = (np.arange(width) >= width // 2).astype(np.int32)[None].repeat(height, 0)
    rough = (np.arange(width) >= width // 2 + width // 10).astype(np.int32)[None].repeat(height, 0)
    return picture, exact, rough


@pytest.mark.parametrize("megapixels", [1.0, 0.002])
def test_edges_move_to_the_pictures(megapixels):
    picture, exact, rough = picture_and_segments(60, 90)
    found = follow_edges(picture, rough, SegmentConfig(edge_megapixels=megapixels))
    assert found.dtype == np.int32
    assert found.shape == exact.shape
    assert (found != exact).mean() < 0.2 * (rough != exact).mean()


def test_the_highest_of_all_masks_at_once():
    generator = np.random.default_rng(5)
    picture = generator.integers(0, 256, (24, 31, 3), np.uint8)
    segments = generator.integers(0, 4, (24, 31)).astype(np.int32)
    config = SegmentConfig(edge_rounds=3, edge_dilations=(20, 40))
    dilations = scaled_dilations((24, 31), config.edge_dilations)
    weights = affinity(torch.from_numpy(picture).permute(2, 0, 1) / 255, dilations)
    masks = torch.stack([torch.from_numpy(segments == number).float() for number in range(4)])
    expected = pamr(masks, weights, 3, dilations)
    found = torch.from_numpy(follow_edges(picture, segments, config)).long()
    assert (expected.amax(0) - expected.gather(0, found[None])[0]).max() < 1e-6


def test_what_stays_as_it_is():
    picture, _, rough = picture_and_segments(20, 30)
    assert follow_edges(picture, rough, SegmentConfig(edge_rounds=0)) is rough
    one = np.zeros((20, 30), np.int32)
    assert follow_edges(picture, one, SegmentConfig()) is one


def test_segments_that_disappear_leave_no_gap():
    picture, _, rough = picture_and_segments(60, 90)
    rough = rough * 2
    rough[30, 20] = 1  # a pixel in the middle of the dark half
    found = follow_edges(picture, rough, SegmentConfig())
    assert np.unique(found).tolist() == [0, 1]
