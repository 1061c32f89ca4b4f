from dataclasses import replace

import numpy as np
import pytest
import torch

from recipes.mini.yardstick import (
    YardstickRecipe,
    augment,
    load_segmenter,
    segment_known,
    segmenter_iou,
    train_segmenter,
)
from seediff.errors import UserError
from seediff.files.outputs import write_tensors
from seediff.mini.scenes import CLASS_IDS, load_scenes

SHORT = YardstickRecipe(samples=1000, batch=8, learning_rate=4e-3)


def test_augment_moves_image_and_mask_together():
    label_maps = torch.zeros(8, 16, 16, dtype=torch.long)
    label_maps[:, 4:12, 1:6] = 1
    pixels = label_maps[:, None].float().repeat(1, 3, 1, 1) * 1.6 - 0.8
    changed, labels = augment(pixels, label_maps, torch.Generator().manual_seed(0))
    assert changed.abs().max() <= 1
    assert {bool((label == label_maps[0]).all()) for label in labels} == {True, False}  # some are flipped, some are not
    inside = torch.stack([c[:, m > 0].mean() for c, m in zip(changed, labels, strict=True)])
    outside = torch.stack([c[:, m == 0].mean() for c, m in zip(changed, labels, strict=True)])
    assert (inside > outside + 0.8).all()


def test_training_learns_and_is_kept(tmp_path):
    whole = [s for s in load_scenes() if len(s.classes) == 1][:8]
    scenes = [replace(s, image=s.image[::2, ::2], label_map=s.label_map[::2, ::2]) for s in whole]
    losses = []
    segmenter = train_segmenter(scenes, SHORT, lambda row: losses.append(row["loss"]))
    assert losses[-1] < losses[0] / 2
    assert segmenter_iou(segmenter, scenes) > 0.4

    write_tensors(
        tmp_path / "s.safetensors",
        {k: v.half() if v.is_floating_point() else v for k, v in segmenter.state_dict().items()},
        {},
    )
    images = np.stack([s.image for s in scenes])
    before, after = (
        segment_known(n, images, [s.classes for s in scenes])
        for n in (segmenter, load_segmenter(tmp_path / "s.safetensors"))
    )
    assert np.mean([(a == b).mean() for a, b in zip(before, after, strict=True)]) > 0.99
    for one, scene in zip(after, scenes, strict=True):
        assert set(np.unique(one)) <= {0, CLASS_IDS[scene.classes[0]]}
    write_tensors(tmp_path / "other.safetensors", {"weight": torch.zeros(2)}, {})
    with pytest.raises(UserError, match=r"other.safetensors: no trained segmenter"):
        load_segmenter(tmp_path / "other.safetensors")
