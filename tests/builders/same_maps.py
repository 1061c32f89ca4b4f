"""Compares the maps of two captures."""

import torch


def assert_same_maps(maps, others, atol=1e-5):
    """Maps of one image have the same kinds, sizes and order, and differ by at most `atol`."""
    for (*where, one), (*there, other) in zip(maps.tensors(), others.tensors(), strict=True):
        assert where == there
        torch.testing.assert_close(one, other, atol=atol, rtol=0)
