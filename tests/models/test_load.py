import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders.single_files import configure
from patience import PATIENCE
from refusals import user_error

from seediff.config.runs import GenerateConfig
from seediff.models.describe import check_known_classes
from seediff.models.locate import locate, resolve_name
from seediff.models.registry import load_model
from seediff.models.short_names import EMBEDDED

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def folder(sd1_folder, tmp_path):
    """A copy of a model's folder that may be broken."""
    return Path(shutil.copytree(sd1_folder, tmp_path / "model"))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model_index.json", b"{", r"model_index\.json"),
        (
            "model_index.json",
            b'{"_class_name": "KolorsPipeline"}',
            'is a "KolorsPipeline", which is not supported; supported: Stable',
        ),
        ("seediff.json", None, r"seediff\.json: is a folder"),
    ],
)
def test_broken_files(folder, file, content, message):
    if content is None:
        (folder / file).mkdir()
    else:
        (folder / file).write_bytes(content)
    with user_error(message):
        load_model(str(folder), device="cpu")


def test_known_classes(mini_model):
    known = mini_model.info.settings.classes
    with user_error(
        r"^classes: model '.*' does not know 'bicicle' \(did you mean 'bicycle'\?\), 'zebra'; it knows: .*dog"
    ):
        check_known_classes("mini", known, ["bicicle", "zebra"])


def test_mini_is_the_packaged_folder(mini_folder, monkeypatch):
    monkeypatch.setitem(EMBEDDED, "mini", mini_folder)
    model = load_model("mini", device="cpu")
    assert model.info.name == "mini"
    assert model.sizes.side == 64
    monkeypatch.setitem(EMBEDDED, "mini", mini_folder / "not here")
    with user_error(r"model: mini: is missing; .* reinstall seediff"):
        load_model("mini", device="cpu")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/not/a/folder", "no such folder or file; `seediff models` lists the names"),
        ("Minni", r"no such folder or file \(did you mean 'mini'\?\)"),
        *((f"user/{name}", "no such folder") for name in ("my--model", "model-", "modèle")),
        *((name, "no such file$") for name in ("user/m/../f.gguf", "models/x.safetensors")),
        *((name, "no such folder or file") for name in ("~nobody-here/model", "a" * 300)),
    ],
)
def test_a_name_of_nothing(name, problem):
    for resolve in (resolve_name, lambda name: locate(name, "mini")):
        with user_error(rf"^model: {re.escape(name)}: {problem}"):
            resolve(name)
    assert GenerateConfig(("dog",), model=name).model_label == name


def run_python(*words, cwd=None):
    env = os.environ | {"PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.slow
def test_loading_is_quiet_and_importing_is_light(sd1_folder):
    code = (
        "import sys, seediff.models.registry as r\nassert not {'torch', 'diffusers', 'transformers'} &"
        f" set(sys.modules)\nr.load_model({str(sd1_folder)!r}, device='cpu')"
    )
    result = run_python("-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_python_m_seediff_runs_nothing_of_the_present_folder(tmp_path):
    for name in ("rich", "cyclopts", "numpy", "torch", "msgspec", "diffusers", "own"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').write(__name__)\nraise SystemExit(9)\n")
    done = run_python("-m", "seediff", "models", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


def test_the_safety_checker_of_stable_diffusion_1_is_no_reason_to_refuse_it(folder):
    """Its published model_index.json names a library that is none; the part is never loaded."""
    parts = {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
    parts["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    configure(folder / "model_index.json", **parts)
    assert load_model(str(folder), device="cpu").pipe.safety_checker is None
