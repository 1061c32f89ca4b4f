from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE

import seediff
from seediff.errors import UserError
from seediff.models.registry import load_model

PACKAGE = Path(seediff.__file__).parents[1]


def test_python_m_seediff_runs_nothing_of_the_present_folder(tmp_path: Path) -> None:
    for name in ("rich", "cyclopts", "numpy", "torch", "msgspec", "diffusers", "own"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').write(__name__)\nraise SystemExit(9)\n")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(
        [sys.executable, "-m", "seediff", "models"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("made_of", [["own", "Pipe"], ["diffusers"], "diffusers", ["diffusers", 5]])
def test_parts_of_a_pipeline_are_of_known_classes(tmp_path: Path, made_of: object) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": made_of}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with (
        pytest.raises(UserError, match=r'unet = .* must be \["diffusers", "UNet2DConditionModel"\]')
        if isinstance(made_of, list)
        else pytest.raises(UserError)
    ):
        load_model(str(tmp_path), device="cpu")


def test_the_safety_checker_of_stable_diffusion_1_is_no_reason_to_refuse_it(sd1_folder: Path, tmp_path: Path) -> None:
    """Its published model_index.json names a library that is none; the part is never loaded."""
    folder = Path(shutil.copytree(sd1_folder, tmp_path / "model"))
    file = folder / "model_index.json"
    index = json.loads(file.read_text(encoding="utf-8"))
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    file.write_text(json.dumps(index), encoding="utf-8")
    assert load_model(str(folder), device="cpu").pipe.safety_checker is None
