"""Seg4Diff's segments: tokens' maps are merged where they are alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import SegmentConfig
from seediff.errors import UserError
from seediff.models.registry import load_model
from seediff.segments.make import check_fits, make_segments
from seediff.segments.methods import segment_method
from seediff.segments.seg4diff import token_maps


def propose(cross: torch.Tensor, grid: tuple[int, int], threshold: float = 0.1) -> torch.Tensor:
    config = SegmentConfig(method="seg4diff", token_threshold=threshold)
    return segment_method(config).propose(AttentionMaps({}, {grid: cross}, grid), config, None, 0)


def test_by_hand():
    """Two equal maps merge, two disjoint ones do not: D = ½ · 4 · (.366 − .134) · 1 = .46."""
    halves = torch.tensor([[0.2, 0.1, 0.0], [0.2, 0.1, 0.0], [0.0, 0.0, 0.3], [0.0, 0.0, 0.3]])
    found = propose(halves, (2, 2))
    assert found.shape == (2, 2, 2)
    e = np.e
    np.testing.assert_allclose(found[0].flatten(), np.array([e, e, 1, 1]) / (2 * e + 2), atol=1e-6)
    assert found.argmax(0).tolist() == [[0, 0], [1, 1]]
    assert len(propose(halves, (2, 2), threshold=0.5)) == 1


def test_every_step_in_float64():
    cross = torch.rand(36, 12, generator=torch.Generator().manual_seed(0))
    exact = cross.double().numpy()
    maps = []
    for column in exact.T:
        high = np.exp((column - column.min()) / (column.max() - column.min()))
        maps.append(high / high.sum())
    np.testing.assert_allclose(token_maps(cross).numpy(), maps, atol=1e-6)
    divergence = [[0.5 * ((p - q) * (np.log(p) - np.log(q))).sum() for q in maps] for p in maps]
    threshold = float(np.median(divergence))
    taken, merged = set[int](), []
    for number, row in enumerate(divergence):
        if number not in taken:
            near = [other for other, value in enumerate(row) if value < threshold]
            taken |= {*near}
            merged.append(np.mean([maps[other] for other in near], 0).reshape(6, 6))
    found = propose(cross, (6, 6), threshold)
    np.testing.assert_allclose(found.numpy(), merged, atol=1e-6)
    assert 1 < len(found) < 12


def test_a_transformers_photographs(joint_folder):
    joint_model = load_model(str(joint_folder), device="cpu")
    photo = np.random.default_rng(0).integers(0, 256, (joint_model.image_side, joint_model.image_side, 3), dtype=np.uint8)
    (found,) = make_segments(joint_model, [photo], SegmentConfig(method="seg4diff", block=1, token_threshold=1e-6))
    assert found.label_map.shape == photo.shape[:2]
    assert len(found.scores) == found.label_map.max() + 1 > 1


def test_what_has_no_such_block_is_refused(joint_folder, mini_model):
    joint_model = load_model(str(joint_folder), device="cpu")
    with pytest.raises(UserError, match="block = 99: the model has blocks 0 to"):
        check_fits(joint_model, SegmentConfig(method="seg4diff", block=99), None)
    with pytest.raises(UserError, match=r"method seg4diff reads one block of a transformer, and model '.*' is a UNet"):
        check_fits(mini_model, SegmentConfig(method="seg4diff"), None)
    with pytest.raises(UserError, match="these are maps of self-attention"):
        segment_method(SegmentConfig(method="seg4diff")).propose(AttentionMaps({}, {}, (2, 2)), SegmentConfig(method="seg4diff"), None, 0)
