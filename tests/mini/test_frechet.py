"""The Fréchet distance: against its definition, and that it tells rendered scenes from others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

from recipes.mini.yardsticks import write_moments
from seediff.errors import UserError
from seediff.mini.frechet import distance_to_rendered, features_of, frechet_distance, moments, read_moments


def test_the_distance_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    first, second = (moments(rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + shift) for shift in (0.0, 1.0))
    root = sqrtm(first[1] @ second[1]).real
    expected = np.sum((first[0] - second[0]) ** 2) + np.trace(first[1] + second[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)


def test_few_images_of_many_features_are_no_error() -> None:
    rng = np.random.default_rng(0)
    first, second = moments(rng.normal(size=(5, 20))), moments(rng.normal(size=(7, 20)))
    assert np.isfinite(frechet_distance(first, second))


def test_mirrored_images_have_the_same_features() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert np.allclose(features_of(images), features_of(images[:, :, ::-1].copy()), atol=1e-4)


def test_packaged_moments_tell_scenes_from_noise() -> None:
    from seediff.mini.scenes import load_scenes

    scenes = np.stack([s.image for s in load_scenes("tune") if len(s.classes) == 1])
    near = distance_to_rendered(scenes)
    noise = np.random.default_rng(0).integers(0, 256, scenes[:20].shape, np.uint8)
    rendered, floor = read_moments()
    assert 0 < near["rendered"] == floor < near["distance"] < frechet_distance(moments(features_of(noise)), rendered)
    low, high = near["ci95"]
    assert low < near["distance"] < high


def test_moments_come_back(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    path = tmp_path / "rendered.safetensors"
    floor = write_moments(path, images[:8], images[8:])
    (mean, covariance), read = read_moments(path)
    assert read == pytest.approx(floor)
    assert np.allclose(mean, features_of(images[:8]).mean(0), atol=1e-4)
    assert covariance.shape == (len(mean), len(mean))
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="is no whole safetensors file"):
        read_moments(path)
    with pytest.raises(UserError, match="at least 2"):
        distance_to_rendered(images[:1])
