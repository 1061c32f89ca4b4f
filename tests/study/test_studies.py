"""Both studies from model folder to files, on a tiny random model: what they write, not how good it is."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_scenes import half_side

from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate import GenerateConfig
from seediff.errors import UserError
from seediff.mini.yardsticks import Segmenter
from seediff.study.masks import capture, constants, contest, generated
from seediff.study.masks.constants import Trial, preset
from seediff.study.masks.contest import METHOD_NAMES, PAPER, Setting
from seediff.study.masks.truth import run_truth


@pytest.fixture(autouse=True)
def small_contest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer constants to try and images of half the side: the whole is for the real thing."""
    for name, entry in contest.CONTEST.items():
        few = {
            option: (getattr(PAPER[name].config, option),) if option in ("alpha", "tau") else all_ for option, all_ in entry.tried.items()
        }
        monkeypatch.setitem(contest.CONTEST, name, replace(entry, tried=few))
    monkeypatch.setattr(constants, "BETAS", contest.BETAS[::4])
    for study in (capture, generated):
        monkeypatch.setattr(study, "load_scenes", half_side)


FIGURES = {"iou", "ci95", "boundary_f", "per_class", "miou", "constants"}


def timeless(result: dict) -> dict:
    return {key: value for key, value in result.items() if key not in ("seconds", "milliseconds")}


def check_result(result: dict, out: Path, tuned: bool = True) -> None:
    for section, names in (("methods", (*METHOD_NAMES, "best")), ("paper_constants", METHOD_NAMES)):
        assert tuple(result[section]) == tuple(result["milliseconds"][section]) == names
        assert min(result["milliseconds"][section].values()) >= 0
        for figures in result[section].values():
            assert figures.keys() >= FIGURES
            assert 0 <= figures["ci95"][0] <= figures["iou"] <= figures["ci95"][1] <= 1
    assert result["pamr"].keys() == {"without", "with"}
    files = {"results.md", "results.csv", "results.json", "preset.json", "scenes.png"} | ({"tuning.csv"} if tuned else set())
    assert {p.name for p in out.iterdir()} == files
    assert json.loads((out / "results.json").read_text()) == result
    assert json.loads((out / "preset.json").read_text()) == result["preset"]
    if tuned:
        with (out / "tuning.csv").open() as file:
            assert {row["method"] for row in csv.DictReader(file)} == set(METHOD_NAMES)


def test_truth(mini_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "truth"
    result = run_truth(2, out, model=str(mini_folder), tune_scenes=1, json_path=tmp_path / "t.json", device="cpu")
    check_result(result, out)
    assert json.loads((tmp_path / "t.json").read_text()) == result
    assert result["scenes"] == 2
    for section in ("ca_side", "seed_side", "seed_side_paper_constants"):
        assert list(result[section]) == ["L/4", "L/2", "L"]
    assert result["seed_side_paper_constants"]["L"]["constants"]["seed_level"] == 1
    for method in METHOD_NAMES:
        assert result["pamr"]["with"][method]["iou"] == result["methods"][method]["iou"]
    assert "## Every method at its own best" in (out / "results.md").read_text()
    for section in ("methods", "paper_constants"):
        rows = result[section]
        for rival in ("ca_sa", "seediff"):
            ahead = {name: row[f"ahead_of_{rival}"]["iou"] for name, row in rows.items() if name != rival}
            assert ahead == pytest.approx({name: rows[name]["iou"] - rows[rival]["iou"] for name in ahead}, abs=1e-3)
    again = run_truth(2, tmp_path / "again", model=str(mini_folder), constants=tmp_path / "t.json", device="cpu")
    check_result(again, tmp_path / "again", tuned=False)
    assert timeless(result) == timeless(again)
    shift = run_truth(1, tmp_path / "shift", model=str(mini_folder), scene_set="shift", constants=out / "results.json", device="cpu")
    assert shift["settings"] == result["settings"]


def test_truth_of_joint_attention(joint_folder: Path, tmp_path: Path) -> None:
    """One side, two blocks and two shares: what cannot differ is not tried twice; blocks and shares are constants as any other."""
    out = tmp_path / "truth"
    result = run_truth(2, out, model=str(joint_folder), tune_scenes=1, device="cpu")
    check_result(result, out)
    assert list(result["ca_side"]) == list(result["seed_side"]) == ["L"]
    assert [name for name in result["variants"] if name.startswith(("share", "layers"))] == [
        "layers all",
        "layers 0",
        "layers 1",
        "share row",
        "share text",
    ]
    assert result["variants"]["share text"]["constants"]["text_share"] == "text"
    assert "text_share" not in result["paper_constants"]["ca"]["constants"]
    with (out / "tuning.csv").open() as file:
        tried = [row for row in csv.DictReader(file) if row["method"] == "ca"]
    plain = [row for row in tried if row["pamr"] == "off"]
    assert sorted((row["layers"], row["text_share"], row["compete"]) for row in plain) == [
        (of, share, compete) for of in ("0", "1", "all") for share in ("", "text") for compete in ("", "True")
    ]
    again = run_truth(2, tmp_path / "again", model=str(joint_folder), constants=out / "results.json", device="cpu")
    assert timeless(result) == timeless(again)


def test_generated(mini_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Everything(Segmenter):
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
    assert result["capture_steps"] == "all"  # the folder has no preset
    later = generated.run_generated(
        2, tmp_path / "later", model=str(mini_folder), constants=out / "results.json", steps=2, capture_steps="second-half", device="cpu"
    )
    assert later["capture_steps"] == "second-half"
    assert later["methods"] != result["methods"]
    again = generated.run_generated(2, tmp_path / "again", model=str(mini_folder), constants=out / "results.json", steps=2, device="cpu")
    assert timeless(result) == timeless(again)


def test_mistakes_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scenes = 5000"):
        run_truth(5000, tmp_path)
    with pytest.raises(UserError, match="images = 0"):
        generated.run_generated(0, tmp_path)
    with pytest.raises(UserError, match="capture_steps = 0 must be 'all' or 'second-half' or at least 1"):
        generated.run_generated(2, tmp_path, capture_steps=0)
    (tmp_path / "file").write_text("{}")
    with pytest.raises(UserError, match="file: must have settings"):
        run_truth(2, tmp_path, constants=tmp_path / "file")
    with pytest.raises(UserError, match="none: there is no such file"):
        run_truth(2, tmp_path, constants=tmp_path / "none")
    (tmp_path / "empty.json").write_text('{"settings": [], "preset": {}, "tune_scenes": 1}')
    with pytest.raises(UserError, match="no settings for own_best of ca,"):
        run_truth(2, tmp_path, constants=tmp_path / "empty.json")


def test_places_are_tried_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "load_model", lambda *args, **kwargs: pytest.fail("the model was loaded first"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r".*file: cannot be written to"):
        run_truth(2, tmp_path / "file")
    with pytest.raises(UserError, match=r".*: is a folder; name a file"):
        run_truth(2, tmp_path / "out", json_path=tmp_path)
    with pytest.raises(UserError, match=r".*deep/t\.json: cannot be written to"):
        run_truth(2, tmp_path / "out", json_path=tmp_path / "file" / "deep" / "t.json")
    assert not (tmp_path / "out").exists()


def trials(**iou: float) -> list[Trial]:
    """One trial a method, at the paper's constants but with a threshold of its own."""
    return [Trial(m, PAPER[m].with_config(beta=0.4, pamr=False), iou.get(m, 0.5)) for m in METHOD_NAMES]


def test_preset_is_what_a_model_folder_takes(tmp_path: Path) -> None:
    better = Trial("seediff", Setting(MaskConfig(alpha=0.6, expand_levels=(4, 2), pamr_dilations=(1, 2)), CaptureConfig(layers="up")), 0.8)
    made = preset([*trials(), better])
    (tmp_path / "seediff.json").write_text(json.dumps({"preset": made}))
    assert made["method"] == "seediff"
    assert made["note"].startswith("seediff is the best on the tuning scenes; mean IoU: ca 0.5000, ")
    recommended = GenerateConfig.recommended(classes=("dog",), model=str(tmp_path))
    assert recommended.mask == better.setting.config
    assert recommended.capture == CaptureConfig(layers="up")
    assert set(made["methods"]) == {*METHOD_NAMES, "best"} - {"caa", "cre", "ire"}
    best = GenerateConfig.recommended(classes=("dog",), model=str(tmp_path), mask={"method": "best"})
    assert (best.mask, best.capture) == (recommended.mask, recommended.capture)
    ca = GenerateConfig.recommended(classes=("dog",), model=str(tmp_path), mask={"method": "ca"})
    assert ca.mask == MaskConfig(method="ca", beta=0.4, pamr=False)


def test_preset_names_the_winner_honestly() -> None:
    assert preset(trials(ca_sa=0.6))["method"] == "ca_sa"
    assert preset(trials(seediff=0.7))["methods"]["seediff"]["mask"] == {"beta": 0.4, "pamr": False}


def test_an_ablation_is_no_method_to_recommend() -> None:
    made = preset(trials(ire=0.7, seediff=0.6))
    assert made["method"] == "seediff"
    assert made["methods"]["seediff"]["mask"] == {"beta": 0.4, "pamr": False}
    assert made["methods"]["best"]["mask"] == {"method": "seediff", "beta": 0.4, "pamr": False}
    assert made["note"].startswith("seediff is the best on the tuning scenes; mean IoU: ca 0.5")
    assert "ire 0.7000" in made["note"]


def test_noise_does_not_change_what_is_recommended() -> None:
    made = preset(trials(ca_sa=0.7, seediff=0.695))
    assert made["method"] == "seediff"
    assert made["methods"]["seediff"]["mask"] == {"beta": 0.4, "pamr": False}
    assert made["methods"]["best"]["mask"]["method"] == "ca_sa"
    assert made["note"].startswith("seediff is less than 0.01 behind ca_sa, which is the best on the tuning scenes; mean IoU: ca 0.5")


def test_specs_balance_the_classes() -> None:
    made = generated.specs(76, 0)
    assert [len(s.classes) for s in made[:4]] == [1, 2, 1, 2]
    assert all(len(set(s.classes)) == len(s.classes) for s in made)
    assert made == generated.specs(76, 0)
    alone = [s.classes[0] for s in made if len(s.classes) == 1]
    assert len(set(alone)) == 19
