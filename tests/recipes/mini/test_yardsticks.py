"""Classifier and segmenter: their shapes, that they learn, and that what is saved is what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.mini.yardsticks import YardstickRecipe, augment, presence, save_yardstick, segmenter_iou, train_classifier, train_segmenter
from seediff.errors import UserError
from seediff.mini.scenes import CLASS_IDS, CLASSES, load_scenes
from seediff.mini.yardsticks import Classifier, Segmenter, load_classifier, load_segmenter, recognised, segment_known

SHORT = YardstickRecipe(samples=1000, batch=8, learning_rate=4e-3)


def test_shapes_and_size() -> None:
    pixels = torch.zeros(2, 3, 64, 64)
    assert Classifier().eval()(pixels).shape == (2, len(CLASSES))
    assert Segmenter().eval()(pixels).shape == (2, 1 + len(CLASSES), 64, 64)
    for network in (Classifier(), Segmenter()):
        assert 2 * sum(p.numel() for p in network.parameters()) < 2e6  # bytes in half precision


def test_presence() -> None:
    label_maps = torch.zeros(1, 4, 4, dtype=torch.long)
    label_maps[0, 0, 0], label_maps[0, 1, 1] = CLASS_IDS["cat"], CLASS_IDS["dog"]
    assert [CLASSES[i] for i in presence(label_maps)[0].nonzero().flatten()] == ["cat", "dog"]


def test_augment_moves_image_and_mask_together() -> None:
    label_maps = torch.zeros(8, 16, 16, dtype=torch.long)
    label_maps[:, 4:12, 1:6] = 1
    pixels = label_maps[:, None].float().repeat(1, 3, 1, 1) * 1.6 - 0.8
    changed, labels = augment(pixels, label_maps, torch.Generator().manual_seed(0))
    assert changed.abs().max() <= 1
    assert {bool((label == label_maps[0]).all()) for label in labels} == {True, False}  # some are flipped, some are not
    inside = torch.stack([c[:, m > 0].mean() for c, m in zip(changed, labels, strict=True)])
    outside = torch.stack([c[:, m == 0].mean() for c, m in zip(changed, labels, strict=True)])
    assert (inside > outside + 0.8).all()


def test_training_learns_and_is_kept(tmp_path: Path) -> None:
    whole = [s for s in load_scenes("tune", 60) if len(s.classes) == 1][:8]
    scenes = [replace(s, image=s.image[::2, ::2], label_map=s.label_map[::2, ::2]) for s in whole]
    losses: dict[str, list[float]] = {}
    collect = lambda row: losses.setdefault(row["stage"], []).append(row["loss"])  # noqa: E731
    classifier = train_classifier(scenes, replace(SHORT, samples=600), collect)
    segmenter = train_segmenter(scenes, SHORT, collect)
    assert losses["classifier"][-1] < losses["classifier"][0] / 2
    assert losses["segmenter"][-1] < losses["segmenter"][0] / 2
    images, classes = np.stack([s.image for s in scenes]), [s.classes[0] for s in scenes]
    assert recognised(classifier, images, classes).mean() > 0.7
    assert segmenter_iou(segmenter, scenes) > 0.4

    save_yardstick(classifier, tmp_path / "c.safetensors", {"held_scenes": "0.9"})
    save_yardstick(segmenter, tmp_path / "s.safetensors", {})
    np.testing.assert_array_equal(
        recognised(load_classifier(tmp_path / "c.safetensors"), images, classes), recognised(classifier, images, classes)
    )
    before, after = (segment_known(n, images, [s.classes for s in scenes]) for n in (segmenter, load_segmenter(tmp_path / "s.safetensors")))
    assert np.mean([(a == b).mean() for a, b in zip(before, after, strict=True)]) > 0.99
    for one, scene in zip(after, scenes, strict=True):
        assert set(np.unique(one)) <= {0, CLASS_IDS[scene.classes[0]]}
    with pytest.raises(UserError, match=r"c.safetensors: no trained segmenter"):
        load_segmenter(tmp_path / "c.safetensors")
    with pytest.raises(UserError, match=r"missing.safetensors: there is no trained classifier"):
        load_classifier(tmp_path / "missing.safetensors")
