from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import random_maps

from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.masks.concept import concept
from seediff.masks.make import soft_mask

CONFIG = MaskConfig(method="concept")


def with_scores(scores: torch.Tensor, grid: tuple[int, int]):
    return replace(random_maps(), concepts={grid: scores}, concept_names=("dog", "cat", "sky")[: scores.shape[1]])


def test_by_hand():
    """Concepts (1, 0) and (0, 1), a position (3, 1): scores 3 and 1, e³ / (e³ + e) = .88."""
    scores = torch.tensor([[3.0, 1.0]]) @ torch.eye(2)
    maps = with_scores(scores, (1, 1))
    assert [round(float(concept(maps, name, CONFIG).soft), 2) for name in ("dog", "cat")] == [0.88, 0.12]


def test_the_softmax_over_concepts_in_float64():
    scores = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) * 5
    exact = np.exp(scores.double().numpy())
    wanted = (exact / exact.sum(1, keepdims=True)).T.reshape(3, 8, 8)
    for number, name in enumerate(("dog", "cat", "sky")):
        np.testing.assert_allclose(concept(with_scores(scores, (8, 8)), name, CONFIG).soft.numpy(), wanted[number], atol=1e-6)


def test_what_was_not_captured_is_refused():
    with pytest.raises(UserError, match=r"capture\.concepts = false: method concept reads their scores; use --capture-concepts"):
        soft_mask(random_maps(), "dog", CONFIG)
    with pytest.raises(UserError, match="class 'cow' is none of the concepts that were captured: dog, cat"):
        soft_mask(with_scores(torch.zeros(4, 2), (2, 2)), "cow", CONFIG)
