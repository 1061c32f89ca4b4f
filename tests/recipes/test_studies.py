"""The studies of masks and segments: each runs small, and again with the constants that it found."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_maps import random_maps

from recipes.mini.sets import load_set
from recipes.mini.yardstick import Segmenter, iou
from recipes.studies import generated, pairs, segments, settings, truth, tuning
from recipes.studies.__main__ import app
from recipes.studies.score import Scores, score, sweep
from recipes.studies.segments import FLOORS
from recipes.studies.segments import PAPER as WAYS
from recipes.studies.settings import METHOD_NAMES, PAPER
from recipes.studies.truth import run_truth
from recipes.studies.tuning import KINDS
from seediff.cli.main import main
from seediff.config.methods import CaptureConfig, SegmentConfig
from seediff.config.runs import GenerateConfig
from seediff.masks.make_masks import make_masks
from seediff.mini.scenes import CLASS_IDS

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"


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
    for study in (truth, generated, pairs):
        monkeypatch.setattr(study, "load_set", halved)


def check_result(result, out):
    for kind in ("own_best", "paper"):
        assert tuple(result[kind])[: len(METHOD_NAMES)] == METHOD_NAMES
        for row in result[kind].values():
            assert (0 <= row["iou"] <= 1, row["ci95"]) == (True, [None, None])  # of two images
    assert {p.name for p in out.iterdir()} == {"results.md", "results.json", "scenes.png"}
    assert json.loads((out / "results.json").read_text()) == result


@pytest.mark.parametrize("images", [4, 5])
def test_a_mean_over_images_has_an_interval_from_five_on(images):
    found = Scores(np.arange(8)[None], np.full((1, 8), 8), ("dog",) * 8, np.arange(8) % images).summary(0)
    assert found["iou"] == pytest.approx(3.5 / 8, abs=1e-4)
    assert (found["ci95"] == [None, None]) == (images < 5)
    assert images < 5 or 0 < found["ci95"][0] < found["iou"] < found["ci95"][1] < 1


def test_truth(mini_folder, tmp_path):
    result = run_truth(tmp_path / "truth", scenes=2, model=str(mini_folder), tune_scenes=1, device="cpu")
    check_result(result, tmp_path / "truth")
    own = result["own_best"]
    assert own["ca"]["ahead_of_seediff"]["iou"] == pytest.approx(own["ca"]["iou"] - own["seediff"]["iou"], abs=1e-3)
    constants = tmp_path / "truth" / "results.json"
    again = run_truth(tmp_path / "again", scenes=2, model=str(mini_folder), constants=constants, device="cpu")
    assert {kind: again[kind] for kind in KINDS} == {kind: result[kind] for kind in KINDS}


def test_one_method_is_tuned(mini_folder, tmp_path):
    line = f"tune daam --scenes 2 --model {mini_folder} --device cpu --out {tmp_path}/daam"
    assert main(line.split(), app) == 0
    (name, found), *_ = json.loads((tmp_path / "daam" / "results.json").read_text())["preset"]["methods"].items()
    assert (name, set(found), found["capture"]["normalize"]) == ("daam", {"mask", "capture"}, False)


def test_generated(mini_folder, tmp_path, monkeypatch):
    class Everything(Segmenter):
        """Finds something of every class: those early in the list on the left, the late ones on the right."""

        def forward(self, pixels):
            logits = super().forward(pixels) * 0
            half = logits.shape[-1] // 2
            order = torch.arange(19.0).view(1, -1, 1, 1)
            logits[:, 1:, :, :half] = 20 - order
            logits[:, 1:, :, half:] = 1 + order
            return logits

    monkeypatch.setattr(generated, "YARDSTICK_SCENES", 4)
    monkeypatch.setattr(generated, "load_segmenter", lambda: Everything().eval())
    monkeypatch.setattr(GenerateConfig, "recommended", lambda **given: GenerateConfig(**given, steps=2))
    out = tmp_path / "generated"
    result = generated.run_generated(out, DOCS / "truth.json", images=2, model=str(mini_folder), device="cpu")
    check_result(result, out)
    assert (result["not_drawn"], result["pairs"], result["steps"]) == (0, 3, 2)


def test_segments(mini_folder, tmp_path, monkeypatch):
    changes = {"diffseg": {"kl_threshold": 0.45}, "kmeans-c": {"k": 3}, "diffcut": {"cut_threshold": 0.3}}
    grid = {name: [way] for name, way in WAYS.items()}
    for name, change in changes.items():
        grid[name].append(replace(WAYS[name], **change))
    monkeypatch.setattr(segments, "grid", lambda: grid)
    line = f"segments --scenes 2 --model {mini_folder} --device cpu --out {tmp_path}/a".split()
    assert main([*line, "--tune-scenes", "2"], app) == 0
    result = json.loads((tmp_path / "a" / "results.json").read_text())
    assert set(result["paper"]) == set(result["best"]) == set(WAYS)
    for name, floors in result["ahead"]["best"].items():
        assert isinstance(WAYS[name], SegmentConfig)
        assert list(floors) == [*FLOORS, "colour-c"]
        ahead = result["best"][name]["miou"] - result["floors"]["one"]["miou"]
        assert floors["one"]["ahead"]["miou"] == pytest.approx(ahead, abs=2e-4)
    assert (tmp_path / "a" / "segments.jpg").stat().st_size > 1000
    assert "| diffseg | " in (tmp_path / "a" / "results.md").read_text()
    again = [*line[:-1], str(tmp_path / "b"), "--constants", str(tmp_path / "a" / "results.json")]
    assert main(again, app) == 0
    assert json.loads((tmp_path / "b" / "results.json").read_text())["best"] == result["best"]


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
