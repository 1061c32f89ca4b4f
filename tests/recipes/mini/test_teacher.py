from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_recipe import TINY

from recipes.mini.denoiser import Batch, Denoiser
from recipes.mini.teacher import compressed

CAPTIONS = ["a photo of a dog", "a mirrored photo of a penguin bird and a dog on grass", "a photo of a cat"]


def test_components_are_uncorrelated_and_their_variances_square_roots():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((200, 3, 2, 2)) * np.array([3.0, 2.0, 1.0])[:, None, None]
    mixed = np.einsum("cf,nfyx->ncyx", rng.standard_normal((6, 3)), hidden) + 5
    rows = compressed(mixed.astype(np.float16), 3).astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, 3)
    covariance = np.cov(rows, rowvar=False)
    assert np.abs(rows.mean(0)).max() < 0.02
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.02
    assert np.mean(np.diag(covariance)) == pytest.approx(1, abs=0.01)
    flat = mixed.transpose(0, 2, 3, 1).reshape(-1, 6)
    values = np.linalg.eigvalsh(np.corrcoef(flat, rowvar=False))[::-1][:3]
    assert np.allclose(np.diag(covariance), np.sqrt(values) / np.sqrt(values).mean(), atol=0.03)


def test_a_denoiser_learns_the_features():
    torch.manual_seed(0)
    student = Denoiser(replace(TINY, denoiser=replace(TINY.denoiser, alignment_weight=1.0, grouping_weight=0)))
    student.prepare(CAPTIONS, 16)
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    clean, noise = torch.randn(2, 3, 4, 16, 16)
    times, kept = torch.tensor([10, 200, 500]), torch.zeros(3, dtype=torch.bool)
    batch = Batch(clean, noise, times, np.arange(3), kept, 0, torch.randn(3, 64, 4, 4))
    seen = []
    for _ in range(30):
        loss, curves = student.losses(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(curves["alignment"].item())
    assert seen[-1] < 0.5 * seen[0]
    assert "alignment" not in student.losses(replace(batch, features=None))[1]
