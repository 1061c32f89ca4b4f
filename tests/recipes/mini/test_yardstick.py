import numpy as np
import torch
from refusals import user_error
from tiny_recipe import halved

from recipes.mini.yardstick import (
    YardstickRecipe,
    load_segmenter,
    segment_known,
    segmenter_iou,
    train_segmenter,
)
from seediff.files.outputs import write_tensors
from seediff.mini.scenes import CLASS_IDS, load_scenes

SHORT = YardstickRecipe(samples=1000, batch=8, learning_rate=4e-3)


def test_training_learns_and_is_kept(tmp_path):
    scenes = halved([s for s in load_scenes() if len(s.classes) == 1][:8])
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
    with user_error(r"other.safetensors: no trained segmenter"):
        load_segmenter(tmp_path / "other.safetensors")
