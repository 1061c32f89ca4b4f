import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_recipe import halved

from recipes.mini.sets import load_set
from recipes.mini.yardstick import Segmenter
from recipes.studies import generated, settings, truth, tuning
from recipes.studies.settings import METHOD_NAMES, PAPER, Setting
from recipes.studies.truth import run_truth
from recipes.studies.tuning import KINDS, Trial, preset
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate_config import GenerateConfig


@pytest.fixture(autouse=True)
def small_contest(monkeypatch):
    """Fewer constants to try and images of half the side: the whole is for the real thing."""
    for name, entry in settings.CONTEST.items():
        few = {
            option: (getattr(PAPER[name].config, option),) if option in ("alpha", "tau") else all_
            for option, all_ in entry.tried.items()
        }
        monkeypatch.setitem(settings.CONTEST, name, replace(entry, tried=few))
    monkeypatch.setattr(tuning, "BETAS", settings.BETAS[::4])
    for study in (truth, generated):
        monkeypatch.setattr(study, "load_set", lambda name, count: halved(load_set(name, count)))


def check_result(result, out):
    for kind, names in (("own_best", (*METHOD_NAMES, "best")), ("paper", METHOD_NAMES)):
        assert tuple(result[kind]) == names
        for row in result[kind].values():
            assert row.keys() >= {"iou", "ci95", "boundary_f", "miou", "setting"}
            assert 0 <= row["ci95"][0] <= row["iou"] <= row["ci95"][1] <= 1
    assert {p.name for p in out.iterdir()} == {"results.md", "results.json", "scenes.png"}
    assert json.loads((out / "results.json").read_text()) == result


def figures(result):
    return {kind: result[kind] for kind in KINDS}


def test_truth(mini_folder, tmp_path):
    out = tmp_path / "truth"
    model = shutil.copytree(mini_folder, tmp_path / "model")
    best = {"mask": {"method": "ca", "beta": 0.4}, "capture": {"layers": "up"}}
    (model / "seediff.json").write_text(json.dumps({"preset": {"methods": {"best": best}}}))
    result = run_truth(out, scenes=2, model=str(model), tune_scenes=1, device="cpu")
    check_result(result, out)
    for kind in ("ca_side", "seed_side", "seed_side_paper"):
        assert list(result[kind]) == ["L/4", "L/2", "L"]
    assert result["seed_side_paper"]["L"]["setting"]["mask"] == {"seed_level": 1}
    assert "## Every method at its own best" in (out / "results.md").read_text()
    for rows in (result["own_best"], result["paper"]):
        for rival in ("ca_sa", "seediff"):
            ahead = {name: row[f"ahead_of_{rival}"]["iou"] for name, row in rows.items() if name != rival}
            assert ahead == pytest.approx({name: rows[name]["iou"] - rows[rival]["iou"] for name in ahead}, abs=1e-3)
    again = run_truth(
        tmp_path / "again", scenes=2, model=str(mini_folder), constants=out / "results.json", device="cpu"
    )
    assert figures(again) == figures(result)
    assert "preset" not in again


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
    constants = Path(__file__).parents[3] / "docs" / "truth.json"
    result = generated.run_generated(tmp_path / "generated", constants, images=2, model=str(mini_folder), device="cpu")
    check_result(result, tmp_path / "generated")
    assert (result["not_drawn"], result["pairs"], result["steps"]) == (0, 3, 2)
    assert result["ca_side"] == {}


def trials(**iou):
    """One trial a method, at the paper's constants but with a threshold of its own."""
    return [Trial(m, PAPER[m].with_config(beta=0.4, pamr=False), iou.get(m, 0.5)) for m in METHOD_NAMES]


def test_preset_is_what_a_model_folder_takes(tmp_path):
    better = Trial(
        "seediff",
        Setting(MaskConfig(alpha=0.6, expand_levels=(4, 2), pamr_dilations=(1, 2)), CaptureConfig(layers="up")),
        0.8,
    )
    made = preset([*trials(), better])
    (tmp_path / "seediff.json").write_text(json.dumps({"preset": made}))
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    assert made["method"] == "seediff"
    assert made["note"].startswith("seediff is the best on the tuning scenes; mean IoU: ca 0.5000, ")
    recommended = GenerateConfig.recommended(classes=("dog",), model=str(tmp_path))
    assert recommended.mask == better.setting.config
    assert recommended.capture == CaptureConfig(layers="up")
    assert set(made["methods"]) == {*METHOD_NAMES, "best"} - {"caa", "cre", "ire"}
    row = made["methods"]["seediff"]
    assert made["methods"]["best"] == {**row, "mask": {"method": "seediff", **row["mask"]}}


def test_noise_does_not_change_what_is_recommended():
    assert preset(trials(ca_sa=0.6))["method"] == "ca_sa"
    made = preset(trials(ca_sa=0.7, seediff=0.695))
    assert made["method"] == "seediff"
    assert made["methods"]["best"]["mask"]["method"] == "ca_sa"
    assert made["note"].startswith(
        "seediff is less than 0.01 behind ca_sa, which is the best on the tuning scenes; mean IoU: ca 0.5"
    )
