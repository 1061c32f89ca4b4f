import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE

import seediff
from seediff.models.registry import load_model

PACKAGE = Path(seediff.__file__).parents[1]


def test_python_m_seediff_runs_nothing_of_the_present_folder(tmp_path):
    for name in ("rich", "cyclopts", "numpy", "torch", "msgspec", "diffusers", "own"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').write(__name__)\nraise SystemExit(9)\n")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(
        f"{sys.executable} -m seediff models".split(),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_the_safety_checker_of_stable_diffusion_1_is_no_reason_to_refuse_it(sd1_folder, tmp_path):
    """Its published model_index.json names a library that is none; the part is never loaded."""
    folder = Path(shutil.copytree(sd1_folder, tmp_path / "model"))
    file = folder / "model_index.json"
    index = json.loads(file.read_text(encoding="utf-8"))
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    file.write_text(json.dumps(index), encoding="utf-8")
    assert load_model(str(folder), device="cpu").pipe.safety_checker is None
