from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import random_maps

from recipes.studies.score import label_map, score, soft_masks, sweep, winners
from recipes.studies.settings import METHOD_NAMES, PAPER
from seediff.config.constants import CaptureConfig
from seediff.masks.make_masks import make_masks
from seediff.metrics.scores import iou
from seediff.mini.scenes import CLASS_IDS, Scene

PLAIN = CaptureConfig()
MEANS = CaptureConfig(normalize=False)


def random_scene(seed=0, side=64):
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint8)
    labels[5:30, 5:30], labels[34:60, 20:44] = CLASS_IDS["dog"], CLASS_IDS["cat"]
    return Scene(
        rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        labels,
        ("dog", "cat"),
        "a cat and a dog",
    )


def test_sweep_counts_as_a_loop_does():
    generator = torch.Generator().manual_seed(0)
    betas = np.array([0.1, 0.25, 0.5, 0.9])
    soft = torch.randint(0, 21, (3, 2, 9, 7), generator=generator).float() / 20  # many values lie on a threshold
    exact = torch.rand(2, 9, 7, generator=generator) < 0.4
    intersections, unions = sweep(soft, exact, betas)
    assert intersections.shape == (3, 2, 4)
    for s in range(3):
        for c in range(2):
            for t, beta in enumerate(betas):
                predicted = soft[s, c] >= beta
                assert intersections[s, c, t] == (predicted & exact[c]).sum()
                assert unions[s, c, t] == (predicted | exact[c]).sum()


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("pamr", [True, False])
def test_shared_work_gives_the_masks_that_the_commands_give(method, pamr):
    scene = random_scene()
    means = replace(random_maps(), normalized=False)
    maps = {PLAIN: random_maps(), MEANS: means}
    settings = [PAPER[m].with_config(pamr=flag, beta=0.4) for m in METHOD_NAMES for flag in (True, False)]
    soft = winners(soft_masks(scene.image, scene.classes, maps, settings))
    index = settings.index(PAPER[method].with_config(pamr=pamr, beta=0.4))
    alone = make_masks(scene.image, maps[PAPER[method].capture], scene.classes, settings[index].config)
    different = (label_map(soft[index] >= 0.4) != alone.label_map).mean()
    assert different < 1e-3  # a pixel within rounding of the threshold may fall on its other side


def test_scores_against_plain_arithmetic():
    scenes = [random_scene(seed) for seed in range(3)]
    settings = [PAPER["ca"], PAPER["seediff"].with_config(beta=0.6)]
    items = [(i, s, {PLAIN: random_maps(seed=i)}) for i, s in enumerate(scenes)]
    scores = score(items, settings, boundary_of=settings[1:])
    assert scores.classes == ("dog", "cat") * 3
    assert scores.images.tolist() == [0, 0, 1, 1, 2, 2]
    expected = []
    for _, scene, maps in items:
        predicted = make_masks(scene.image, maps[PLAIN], scene.classes, settings[1].config).label_map
        expected += [iou(predicted == i + 1, scene.label_map == CLASS_IDS[c]) for i, c in enumerate(scene.classes)]
    assert scores.iou(1) == pytest.approx(np.array(expected), abs=0.01)
    summary = scores.summary(1)
    assert summary["iou"] == pytest.approx(np.mean(expected), abs=0.01)
    assert summary["ci95"][0] <= summary["iou"] <= summary["ci95"][1]
    assert "boundary_f" in summary
    assert "boundary_f" not in scores.summary(0)
    assert "several" in summary
    assert "single" not in summary
