"""Features that the denoisers' inner ones are drawn towards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.mini.loop import Batch, Student
from recipes.mini.recipe import Denoiser as Table
from recipes.mini.recipe import Recipe, Teacher
from recipes.mini.recipe import Transformer as TransformerTable
from recipes.mini.teacher import Teacher as Network
from recipes.mini.teacher import compressed, encode, taught_features
from recipes.mini.warmstart import new_student

TINY = Recipe(
    side=64,
    scenes=12,
    teacher=Teacher(samples=8, batch=4, features=8),
    denoiser=Table(
        channels=(16, 16, 16),
        heads=(1, 1, 2),
        text_width=16,
        coarse_samples=10**6,
        alignment_weight=1.0,
        grouping_weight=0,
    ),
    transformer=TransformerTable(layers=2, heads=2, head_width=8, text_widths=(16, 8), alignment_weight=1.0),
)
CAPTIONS = ["a photo of a dog", "a mirrored photo of a penguin bird and a dog on grass", "a photo of a cat"]


def test_components_are_uncorrelated_and_their_variances_square_roots() -> None:
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


def test_features_are_made_once(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8)
    rows: list[dict] = []
    first = taught_features(TINY, images, CAPTIONS * 4, tmp_path / "features.npy", rows.append)
    assert first.shape == (12, 8, 4, 4)
    assert rows[-1]["stage"] == "teacher"
    again = taught_features(TINY, images, CAPTIONS * 4, tmp_path / "features.npy", rows.clear)  # type: ignore[arg-type]  # never called
    assert np.array_equal(first, again)
    assert rows
    torch.manual_seed(0)
    assert encode(Network(6).eval(), images).shape == (12, 128, 4, 4)


def test_the_backbone_in_the_package_teaches_where_none_is_trained(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8)
    rows: list[dict] = []
    untrained = dataclasses.replace(TINY, teacher=dataclasses.replace(TINY.teacher, samples=0))
    one = taught_features(untrained, images, CAPTIONS * 4, tmp_path / "one.npy", rows.append)
    other = taught_features(
        dataclasses.replace(untrained, seed=5), images, CAPTIONS * 4, tmp_path / "other.npy", rows.append
    )
    assert np.array_equal(one, other)  # nothing of them is drawn at random
    assert not rows


@pytest.mark.parametrize("network", ["unet", "transformer"])
def test_a_student_learns_the_features(network: str) -> None:
    torch.manual_seed(0)
    student: Student = new_student(dataclasses.replace(TINY, network=network))
    student.prepare(CAPTIONS, 16)
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    clean, noise = torch.randn(2, 3, 4, 16, 16)
    batch = Batch(
        clean,
        noise,
        torch.tensor([10, 200, 500]),
        np.arange(3),
        torch.zeros(3, dtype=torch.bool),
        0,
        torch.randn(3, 8, 4, 4),
    )
    seen = []
    for _ in range(30):
        loss, curves = student.losses(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(curves["alignment"].item())
    assert seen[-1] < 0.5 * seen[0]
    assert "alignment" not in student.losses(dataclasses.replace(batch, features=None))[1]
