import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from refusals import user_error

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import SegmentConfig
from seediff.masks.pamr import pamr, pamr_weights, scaled_dilations
from seediff.segments import labelling
from seediff.segments.labelling import follow_edges, label
from seediff.segments.make_segments import label_view
from seediff.segments.naming import name_maps, name_segments
from seediff.view import View, Window


@pytest.mark.parametrize(("size", "chunk", "rows"), [((70, 41), 1000, 300), ((9, 60), 20, 1), ((1, 1), 2**18, 2**22)])
@pytest.mark.parametrize(("count", "side"), [(12, 5), (1, 2), (7, 16)])
def test_a_label_map_in_any_bands_equals_the_plain_one(count, side, size, chunk, rows, monkeypatch):
    proposals = torch.rand(count, side, side, generator=torch.Generator().manual_seed(side))
    monkeypatch.setattr(labelling, "CHUNK", chunk)
    monkeypatch.setattr(labelling, "ROWS", rows)
    best = F.interpolate(proposals.double()[None], size, mode="bilinear")[0].argmax(0).numpy()
    found = label(proposals, size)
    assert found.dtype == np.int32
    assert (found == np.unique(best, return_inverse=True)[1].reshape(size)).all()


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
    assert (found != exact).mean() < 0.2 * (rough != exact).mean()


def test_the_highest_of_all_masks_at_once():
    generator = np.random.default_rng(5)
    picture = generator.integers(0, 256, (24, 31, 3), np.uint8)
    segments = generator.integers(0, 4, (24, 31)).astype(np.int32)
    config = SegmentConfig(edge_rounds=3, edge_dilations=(20, 40))
    dilations = scaled_dilations((24, 31), config.edge_dilations)
    weights = pamr_weights(picture, dilations)
    masks = torch.stack([torch.from_numpy(segments == number).float() for number in range(4)])
    expected = pamr(masks, weights, 3, dilations)
    found = torch.from_numpy(follow_edges(picture, segments, config)).long()
    assert (expected.amax(0) - expected.gather(0, found[None])[0]).max() < 1e-6


def test_segments_that_disappear_leave_no_gap():
    picture, _, rough = picture_and_segments(60, 90)
    rough = rough * 2
    rough[30, 20] = 1  # a pixel in the middle of the dark half
    found = follow_edges(picture, rough, SegmentConfig())
    assert np.unique(found).tolist() == [0, 1]


def test_a_segment_outside_of_the_picture_leaves_no_gap():
    proposals = torch.eye(4)[:, None]  # four segments side by side
    view = View((8, 8), Window(0, -4, 8, 16), (8, 16))
    whole = label_view(View.whole((8, 16)), proposals, SegmentConfig(edge_rounds=0))
    cut = label_view(view, proposals, SegmentConfig(edge_rounds=0))
    assert np.array_equal(cut.label_map, whole.label_map[:, 4:12] - 1)
    assert cut.scores == whole.scores[1:3]


@given(seed=st.integers(0, 2**32 - 1))
def test_against_a_plain_reference(seed):
    rng = np.random.default_rng(seed)
    label_map = rng.integers(-1, 5, (12, 9)).astype(np.int32)
    label_map[label_map == 2] = -1  # so that a segment has no pixel
    maps = torch.from_numpy(rng.random((3, 12, 9), np.float32))
    found = name_segments(label_map, maps, ["a", "b", "c"], 0.4)
    assert len(found) == label_map.max() + 1
    for segment, one in enumerate(found):
        inside = label_map == segment
        if not inside.any():
            assert one.name is None
            continue
        means = [float(m[inside].double().mean()) for m in maps]
        best = int(np.argmax(means))
        assert one.score == pytest.approx(means[best], abs=1e-6)
        assert one.name == (["a", "b", "c"][best] if means[best] >= 0.4 else None)


def test_words_are_looked_up_at_three_levels():
    cross = {(side, side): torch.rand(side * side, 4) for side in (16, 8, 4)}
    maps = AttentionMaps({}, cross, (16, 16), {"dog": (1,), "cat": (2, 3)}, "")
    found = name_maps(maps, ["dog", "cat"])
    assert found.shape == (2, 16, 16)
    assert 0 <= found.min() <= found.max() < 1
    scaled = AttentionMaps(
        {}, {side: one * torch.tensor([1.0, 5.0, 1.0, 1.0]) for side, one in cross.items()}, (16, 16), maps.words, ""
    )
    torch.testing.assert_close(name_maps(scaled, ["dog", "cat"]), found)
    flat = AttentionMaps({}, {(8, 8): torch.full((64, 4), 0.3)}, (16, 16), maps.words, "")
    torch.testing.assert_close(name_maps(flat, ["dog"]), torch.full((1, 8, 8), 0.5))
    with user_error("L/2, L/4"):
        name_maps(AttentionMaps({}, {(2, 2): torch.rand(4, 4)}, (16, 16), maps.words, ""), ["dog"])
