"""Both studies from model folder to files, on a tiny random model: what they write, not how good it is."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seediff.errors import UserError
from seediff.models.mini import segmenter
from seediff.models.mini.scenes import load_scenes
from seediff.models.mini.world import Scene
from seediff.study import contest, generated, truth, tune
from seediff.study.contest import METHOD_NAMES
from seediff.study.truth import run_truth


@pytest.fixture(autouse=True)
def small_contest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer constants to try and images of half the side: the whole is for the real thing."""
    monkeypatch.setattr(contest, "ALPHAS", (0.5,))
    monkeypatch.setattr(tune, "BETAS", contest.BETAS[::4])
    for study in (truth, generated):
        monkeypatch.setattr(study, "load_scenes", half_side)


def half_side(name: str, count: int | None = None) -> list[Scene]:
    return [replace(s, image=s.image[::2, ::2], label_map=s.label_map[::2, ::2]) for s in load_scenes(name, count)]


FIGURES = {"iou", "ci95", "boundary_f", "per_class", "miou", "constants"}


def check_result(result: dict, out: Path) -> None:
    for section in ("methods", "paper_constants"):
        assert tuple(result[section]) == METHOD_NAMES
        for figures in result[section].values():
            assert figures.keys() >= FIGURES
            assert 0 <= figures["ci95"][0] <= figures["iou"] <= figures["ci95"][1] <= 1
    assert result["pamr"].keys() == {"without", "with"}
    assert {p.name for p in out.iterdir()} == {"results.md", "results.csv", "results.json", "tuning.csv", "scenes.png"}
    assert json.loads((out / "results.json").read_text()) == result
    with (out / "tuning.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == set(METHOD_NAMES)


def test_truth(mini_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "truth"
    result = run_truth(2, out, model=str(mini_folder), tune_scenes=1, json_path=tmp_path / "t.json", device="cpu")
    check_result(result, out)
    assert json.loads((tmp_path / "t.json").read_text()) == result
    assert result["scenes"] == 2
    assert list(result["ca_side"]) == ["L/4", "L/2", "L"]
    for method in METHOD_NAMES:
        assert result["pamr"]["with"][method]["iou"] == result["methods"][method]["iou"]
    assert "## Every method at its own best" in (out / "results.md").read_text()
    again = run_truth(2, tmp_path / "again", model=str(mini_folder), tune_scenes=1, device="cpu")
    assert {**result, "seconds": 0} == {**again, "seconds": 0}


def test_generated(mini_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Everything(segmenter.Segmenter):
        """Finds something of every class: those early in the list on the left, the late ones on the right."""

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            logits = super().forward(pixels) * 0
            half = logits.shape[-1] // 2
            order = torch.arange(19.0).view(1, -1, 1, 1)
            logits[:, 1:, :, :half] = 20 - order
            logits[:, 1:, :, half:] = 1 + order
            return logits

    monkeypatch.setattr(generated, "YARDSTICK_SCENES", 4)
    monkeypatch.setattr(generated, "load_segmenter", lambda: Everything().eval())
    out = tmp_path / "generated"
    result = generated.run_generated(2, out, model=str(mini_folder), tune_scenes=1, steps=2, device="cpu")
    check_result(result, out)
    assert result["not_drawn"] == 0
    assert result["pairs"] == 3


def test_mistakes_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scenes = 5000"):
        run_truth(5000, tmp_path)
    with pytest.raises(UserError, match="images = 0"):
        generated.run_generated(0, tmp_path)


def test_specs_balance_the_classes() -> None:
    made = generated.specs(76, 0)
    assert [len(s.classes) for s in made[:4]] == [1, 2, 1, 2]
    assert all(len(set(s.classes)) == len(s.classes) for s in made)
    assert made == generated.specs(76, 0)
    alone = [s.classes[0] for s in made if len(s.classes) == 1]
    assert len(set(alone)) == 19
