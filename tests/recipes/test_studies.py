"""The studies of masks and segments: each runs small, and again with the constants that it found."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_maps import random_maps

from recipes.mini.sets import load_set
from recipes.mini.yardstick import iou
from recipes.studies import pairs, settings, truth, tuning
from recipes.studies.score import score, sweep
from recipes.studies.settings import METHOD_NAMES, PAPER
from recipes.studies.truth import run_truth
from recipes.studies.tuning import KINDS
from seediff.config.methods import CaptureConfig
from seediff.masks.make_masks import make_masks
from seediff.mini import CLASS_IDS

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few constants to try, and scenes of half the side."""

    def halved(name, count):
        half = [(one, one.image[::2, ::2], one.label_map[::2, ::2]) for one in load_set(name, count)]
        return [replace(one, image=image, label_map=labels) for one, image, labels in half]

    for name, entry in settings.CONTEST.items():
        own = {option: (getattr(PAPER[name].config, option),) for option in entry.tried}
        monkeypatch.setitem(settings.CONTEST, name, replace(entry, tried=own))
    monkeypatch.setattr(settings, "LAYERS", ("all",))
    monkeypatch.setattr(tuning, "PAMRS", settings.PAMRS[:1])
    monkeypatch.setattr(tuning, "BETAS", settings.BETAS[::4])
    for study in (truth, pairs):
        monkeypatch.setattr(study, "load_set", halved)


def check_result(result, out):
    for kind in ("own_best", "paper"):
        assert tuple(result[kind])[: len(METHOD_NAMES)] == METHOD_NAMES
        for row in result[kind].values():
            assert (0 <= row["iou"] <= 1, row["ci95"]) == (True, [None, None])  # of two images
    assert {p.name for p in out.iterdir()} == {"results.md", "results.json", "scenes.png"}
    assert json.loads((out / "results.json").read_text()) == result


def test_truth(mini_folder, tmp_path):
    result = run_truth(tmp_path / "truth", scenes=2, model=str(mini_folder), tune_scenes=1, device="cpu")
    check_result(result, tmp_path / "truth")
    own = result["own_best"]
    assert own["ca"]["ahead_of_seediff"]["iou"] == pytest.approx(own["ca"]["iou"] - own["seediff"]["iou"], abs=1e-3)
    constants = tmp_path / "truth" / "results.json"
    again = run_truth(tmp_path / "again", scenes=2, model=str(mini_folder), constants=constants, device="cpu")
    assert {kind: again[kind] for kind in KINDS} == {kind: result[kind] for kind in KINDS}


def test_sweep_counts_as_a_loop_does():
    generator = torch.Generator().manual_seed(0)
    betas = np.array([0.1, 0.25, 0.5, 0.9])
    soft = torch.randint(0, 21, (3, 2, 9, 7), generator=generator).float() / 20  # many values lie on a threshold
    exact = torch.rand(2, 9, 7, generator=generator) < 0.4
    intersections, unions = sweep(soft, exact, betas)
    for s, c, t in np.ndindex(3, 2, 4):
        predicted = soft[s, c] >= betas[t]
        assert intersections[s, c, t] == (predicted & exact[c]).sum()
        assert unions[s, c, t] == (predicted | exact[c]).sum()


def test_scores_are_those_of_the_masks_that_commands_make():
    scenes, capture = [scene for scene in load_set("truth", 9) if len(scene.classes) == 2][:2], CaptureConfig()
    scenes = [replace(scene, classes=("dog", "cat"), label_map=scene.label_map // 30 * 4 + 8) for scene in scenes]
    maps = [random_maps(seed=number) for number in range(2)]
    chosen = [PAPER["ca"], PAPER["seediff"].with_config(beta=0.6)]
    scores = score([(n, scene, {capture: maps[n]}) for n, scene in enumerate(scenes)], chosen)
    expected = []
    for scene, one in zip(scenes, maps, strict=True):
        made = make_masks(scene.image, one, scene.classes, chosen[1].config).label_map
        expected += [iou(made == n, scene.label_map == CLASS_IDS[name]) for n, name in enumerate(scene.classes, 1)]
    assert scores.iou(1) == pytest.approx(np.array(expected), abs=0.01)
    assert scores.summary(1)["iou"] == pytest.approx(np.mean(expected), abs=0.01)
