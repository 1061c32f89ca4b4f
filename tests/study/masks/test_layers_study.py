"""The study of layers and noise levels: its figures against maps captured one by one, on a UNet and in joint attention."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seediff.attention.photograph import capture_images
from seediff.config.constants import CaptureConfig
from seediff.errors import UserError
from seediff.mini.quality import scene_auc
from seediff.mini.world.packaged import load_scenes
from seediff.mini.world.scene import Scene
from seediff.models.registry import load_model
from seediff.study.masks import layers as study
from seediff.study.masks.layers import TOGETHER, run_layers

AT = (150, 650)


@pytest.fixture
def half_side(monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(name: str, count: int | None = None) -> list[Scene]:
        return [replace(s, image=s.image[::2, ::2], label_map=s.label_map[::2, ::2]) for s in load_scenes(name, count)]

    monkeypatch.setattr(study, "load_scenes", halved)


def _rows(result: dict, **fixed: object) -> list[dict]:
    return [row for row in result["rows"] if all(row[name] == value for name, value in fixed.items())]


def test_all_of_it(mini_folder: Path, half_side: None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run_layers(3, out, model=str(mini_folder), timesteps=AT, json_path=tmp_path / "l.json", device="cpu")
    assert {p.name for p in out.iterdir()} == {"results.md", "results.csv", "results.json"}
    assert json.loads((tmp_path / "l.json").read_text()) == json.loads((out / "results.json").read_text()) == result
    assert [row["timestep"] for row in _rows(result, kind="cross", layer=TOGETHER, level="L/2")] == list(AT)
    assert {row["share"] for row in result["rows"]} == {""}
    model = load_model(str(mini_folder), device="cpu")
    attentions = {name for name, module in model.network.named_modules() if name.endswith((".attn1", ".attn2"))}
    assert {row["layer"] for row in result["rows"]} == {TOGETHER, *attentions}
    assert {row["layer"] for row in _rows(result, kind="cross")} == {TOGETHER, *(name for name in attentions if name.endswith("2"))}
    with (out / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(result["rows"])
    text = (out / "results.md").read_text()
    assert text.count("**") == 2 * 3  # the best of each of the three tables
    assert "| all layers | L/2 |" in text
    study.show(result, out)


def test_all_layers_are_what_a_capture_of_that_timestep_has(mini_folder: Path, half_side: None, tmp_path: Path) -> None:
    result = run_layers(3, tmp_path, model=str(mini_folder), timesteps=AT, seed=4, device="cpu")
    scenes = study.load_scenes("truth", 3)
    model = load_model(str(mini_folder), device="cpu")
    told = [[getattr(scene, name) for scene in scenes] for name in ("image", "caption", "classes")]
    maps = capture_images(model, *told, timesteps=(650,), seed=4, capture=CaptureConfig())["all"]
    found = [scene_auc(scene, one, np.random.default_rng((4, i))) for i, (scene, one) in enumerate(zip(scenes, maps, strict=True))]
    for kind in ("cross", "self_object", "self_background"):
        for level in ("L", "L/2", "L/4"):
            (row,) = _rows(result, kind=kind, level=level, layer=TOGETHER, timestep=650)
            assert row["auc"] == pytest.approx(np.nanmean([value for one in found for value in one[kind, level]]), abs=6e-5)


def test_joint_attention_is_measured_in_both_shares(joint_folder: Path, half_side: None, tmp_path: Path) -> None:
    result = run_layers(3, tmp_path, model=str(joint_folder), timesteps=AT, device="cpu")
    assert {row["share"] for row in result["rows"]} == {"row", "own"}
    layers = {TOGETHER, "transformer_blocks.0.attn", "transformer_blocks.1.attn"}
    for share in ("row", "own"):
        for kind in ("cross", "self_object", "self_background"):
            assert {row["layer"] for row in _rows(result, share=share, kind=kind)} == layers
    row, own = ([one["auc"] for one in _rows(result, share=share, kind="cross")] for share in ("row", "own"))
    assert row != own
    assert "against its object, of its own columns alone" in (tmp_path / "results.md").read_text()


def test_mistakes_are_answered(mini_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scenes = 5000"):
        run_layers(5000, tmp_path)
    with pytest.raises(UserError, match=r"timesteps \[1000\] must be from 0 to 999"):
        run_layers(2, tmp_path, model=str(mini_folder), timesteps=(1000,), device="cpu")
