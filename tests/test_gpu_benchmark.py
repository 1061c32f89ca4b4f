"""The ten minutes on a borrowed machine with a GPU, on a CPU under a stand-in that enforces the limits."""

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPT = BENCHMARKS / "ten_minutes.sh"
MACHINE = """
import socket, sys
from importlib.machinery import PathFinder

class Lacks(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {lacking} else super().find_spec(name, path, target)

def refuse(*_):
    raise OSError("there is no network")

sys.meta_path[sys.meta_path.index(PathFinder)] = Lacks
socket.socket.connect = socket.getaddrinfo = refuse
"""
"""A sitecustomize.py."""
THERE = ("torch", "transformers", "accelerate", "scipy", "pillow", "jinja2", "pyyaml", "requests")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def with_needs(names):
    """Packages, and all that they need in turn."""
    found, waiting = set(), list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found.add(name)
            needs = map(Requirement, requires(name) or ())
            waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def borrowed(folder):
    """Copy what runs, and make a Python that has nothing else. Returns (the checkout there, its environment)."""
    checkout = folder / "checkout"
    for name in ("src", "tests", "recipes", "benchmarks"):
        shutil.copytree(BENCHMARKS.parent / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    wheels = re.findall(r"-d build/gpu (.*)", SCRIPT.read_text())[0].split()
    has = with_needs(THERE) | {name.replace("_", "-") for name in wheels}
    lacking = set()
    for module, packages in packages_distributions().items():
        if not has & {re.sub(r"[-_.]+", "-", package).lower() for package in packages}:
            lacking.add(module)
    assert "pycocotools" in lacking
    (folder / "python").mkdir()
    (folder / "python" / "sitecustomize.py").write_text(MACHINE.replace("{lacking}", repr(lacking - {"seediff"})))
    (folder / "back").mkdir()
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "OUT": str(folder / "back"),
    }
    return checkout, {**own, "PYTHONPATH": str(folder / "python"), "OMP_NUM_THREADS": "1", "SEEDIFF_FUSED": "0"}


def test_what_is_measured_before_the_end_comes_back(benchmark, tmp_path):
    checkout, environment = borrowed(tmp_path)
    words = "bash benchmarks/ten_minutes.sh --tiny --device cpu --dtype float32 --seconds 800 --minutes 14".split()
    words += ["--rows", "pixart-sigma:1,sd1.5:1"]
    back = tmp_path / "back"
    figures = benchmark("on_gpu.figures")
    with subprocess.Popen(words, cwd=checkout, env=environment, start_new_session=True) as script:
        until, second = time.monotonic() + 800, {}
        while "first_s" not in second and script.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            lines = back / "figures.jsonl"
            second = figures.read(lines).get("sd1.5:1", {}) if lines.exists() else {}
        os.killpg(script.pid, signal.SIGKILL)  # as at the end of the time
    shutil.rmtree(checkout)
    assert {path.name for path in back.iterdir()} == {"figures.jsonl", "log"}

    rows = figures.read(back / "figures.jsonl")
    row = rows["pixart-sigma:1"]
    assert row["floor"] > 1
    assert all(row["step_s"][way] > 0 for way in ("plain", "capture", "generate's maps"))
    assert row["images_per_s"]["masks and files"] > 0
    assert rows["sd1.5:1"]["first_s"]["plain"] > 0
    assert "floor" not in rows["sd1.5:1"]
    assert "| pixart-sigma:1 | capture | " in figures.table(rows)
