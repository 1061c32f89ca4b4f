"""The quality check: that it measures what it says, on a tiny random model and on maps with a known answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.errors import UserError
from seediff.mini import quality
from seediff.mini.scenes import CLASS_IDS, CLASSES, PLACES, Scene
from seediff.mini.yardsticks import Classifier


def test_perfect_attention_scores_one() -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[8:24, 4:20] = CLASS_IDS["dog"]
    scene = Scene(np.zeros((32, 32, 3), np.uint8), labels, ("dog",), "a photo of a dog")
    grids = ((16, 16), (8, 8))
    inside = {s: torch.from_numpy(quality.mask_at(labels > 0, s)).flatten().float() for s in grids}
    cross = {s: torch.stack([1 - inside[s], inside[s]], 1) for s in grids}
    same = {s: (inside[s][:, None] == inside[s][None]).float() for s in grids}
    found = quality.scene_auc(scene, AttentionMaps(same, cross, (16, 16), {"dog": (1,)}), np.random.default_rng(0))
    assert set(found) == {(kind, level) for kind in ("cross", "self_object", "self_background") for level in ("L", "L/2")}
    assert all(value == 1 for values in found.values() for value in values)
    backwards = quality.scene_auc(scene, AttentionMaps(same, cross, (16, 16), {"dog": (0,)}), np.random.default_rng(0))
    assert backwards["cross", "L"] == [0]


def test_mask_at_a_position_needs_half_of_it() -> None:
    mask = np.zeros((4, 6), bool)
    mask[0, :3] = mask[1, 0] = True
    assert quality.mask_at(mask, (2, 3)).tolist() == [[True, False, False], [False, False, False]]


def test_prompts_cover_the_classes_with_and_without_places() -> None:
    specs = quality.prompts(500, 0)
    counts = {c: sum(s.classes == (c,) for s in specs) for c in CLASSES}
    assert min(counts.values()) >= 26
    placed = sum(s.prompt.endswith(tuple(PLACES)) for s in specs)
    assert 0.4 < placed / len(specs) < 0.6
    assert len({s.seed for s in specs}) == 500


def test_check_quality(mini_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(quality, "load_classifier", lambda: Classifier().eval())
    result = quality.check_quality(mini_folder, tmp_path / "q", images=3, scenes=2, steps=2, device="cpu")
    assert json.loads((tmp_path / "q" / "quality.json").read_text()) == json.loads(json.dumps(result))
    assert (tmp_path / "q" / "generated.png").is_file()
    assert result["model_mb"] == pytest.approx(sum(p.stat().st_size for p in mini_folder.rglob("*") if p.is_file()) / 1e6, abs=0.1)
    assert result["load_seconds"] > 0
    said = capsys.readouterr().out
    for words in ("recognised", "PSNR in dB", "0.9", "26", "MISSED", f"Size {result['model_mb']} MB", "quality.json", "generated.png"):
        assert words in said
    assert len(quality.verdicts(result)) == 4 + 2 + 2 * 2 * 3
    assert 0 <= result["chimeras"]["share"] <= 1
    assert result["frechet"]["distance"] > 5 * result["frechet"]["rendered"]
    assert 0 <= result["recognised"]["share"] <= 1
    assert 0 < result["psnr"]["mean"] < 40
    for kind in ("cross", "self_object", "self_background"):
        assert set(result["auc"][kind]) == {"all", "up"}
        assert all(0 <= v <= 1 for v in result["auc"][kind]["all"].values())


def test_verdicts_hold_figures_against_their_goals() -> None:
    levels = {"L": 0.86, "L/2": 0.94, "L/4": 0.8}
    result = {
        "recognised": {"share": 0.9},
        "chimeras": {"share": 0.05, "per_class": {"dog": 0.2, "cat": 0.0}},
        "psnr": {"mean": 25.9},
        "auc": {kind: {"up": levels} for kind in ("cross", "self_object", "self_background")},
        "goals": quality.GOALS,
    }
    met = {v.what: v.met for v in quality.verdicts(result)}
    assert met == {
        "recognised": True,
        "chimeras": True,
        "chimeras of dog": False,
        "reconstruction, PSNR in dB": False,
        "AUC of cross-attention at L/2, layers up": False,
        **{
            f"AUC of self-attention of {rows} at {level}, layers up": level != "L/4"
            for rows in ("objects", "the background")
            for level in levels
        },
    }
    result["auc"] = {kind: {"up": {"L": 0.86}} for kind in ("cross", "self_object", "self_background")}
    assert len(quality.verdicts(result)) == 4 + 2  # a transformer has no L/2


@pytest.mark.parametrize(
    ("given", "says"), [({"steps": 0}, "steps = 0 must be at least 1"), ({"guidance_scale": float("nan")}, "nan must be")]
)
def test_drawing_that_cannot_be_is_refused_first(tmp_path, given, says):
    with pytest.raises(UserError, match=says):
        quality.check_quality("mini", tmp_path / "q", **given)
    assert not (tmp_path / "q").exists()
