import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import user_error

from seediff.attention.maps import AttentionMaps
from seediff.segments.naming import name_maps, name_segments


@given(seed=st.integers(0, 2**32 - 1))
def test_against_a_plain_reference(seed):
    rng = np.random.default_rng(seed)
    label_map = rng.integers(-1, 5, (12, 9)).astype(np.int32)
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
