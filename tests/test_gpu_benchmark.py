"""`benchmarks/gpu.py` in a small way on a CPU, and the shapes that it makes on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seediff.models.families import FAMILIES
from seediff.models.known import BY_NAME

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks/ is in the repository only")


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)


def test_narrow_twins_on_a_cpu(tmp_path):
    found, page = tmp_path / "gpu.json", tmp_path / "gpu.md"
    done = run("--tiny", "--device", "cpu", "--models", "pixart-sigma,sana", "--batches", 1, "--json", found, "--table", page)
    report = json.loads(found.read_text())
    assert done.returncode == 0, (done.stdout, done.stderr)
    pixart, sana = report["drawing"]
    for row in (pixart, sana):
        assert set(row["images_per_s"]) == {"plain", "capture", "masks and files"}
        assert all(value > 0 for value in (*row["images_per_s"].values(), *row["ratio"].values(), *row["peak_bytes"].values()))
        assert row["step_flop"] > 1e6
    assert set(pixart["ratio"]) == {"capture", "self", "cross"}
    assert set(sana["ratio"]) == {"capture"}  # it has no maps of self-attention
    assert [row["what"] for row in report["after"]] == [
        "aggregation",
        "DiffSeg",
        "K-Means, k = 6",
        "K-Means, k = 20",
        "PAMR, 10 iterations",
    ]
    assert all(row["bytes"] > 0 and row["share_of_peak"] > 0 for row in report["after"])
    assert report["training"]["samples_per_s"] > 0
    assert page.read_text().count("| pixart-sigma | 1 | ") == 1


@pytest.mark.parametrize("family", FAMILIES, ids=[family.title for family in FAMILIES])
def test_every_family_draws(family, tmp_path, monkeypatch):
    """A short piece of a row: the same picture plain and under capture, and its files."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu
    from on_gpu.drawing import Draws
    from on_gpu.pipelines import twin

    name = next(one for one in gpu.MODELS.split(",") if BY_NAME[one].pipeline in family.pipelines)
    draws = Draws(twin(name, "cpu", "float32", tmp_path), 1)
    images, maps = draws.captured(2)
    assert np.array_equal(images, draws.plain(2))
    draws.to_files(images, maps, tmp_path)
    with Image.open(tmp_path / "0.mask.png") as mask:
        assert mask.size == images.shape[1:3] == (draws.model.image_side,) * 2


def test_memory_at_several_numbers_of_steps(monkeypatch):
    """A row of `benchmarks/steps_memory.py` at 16² positions, where it shows that it runs and nothing else."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import steps_memory

    row = steps_memory.measure("flux", "capture", 1, 1, 16)
    assert row["maps"] == 4 * 256 * (256 + 512) / 2**20
    assert row["most"] > 100


def test_rows_say_why_they_have_no_figures(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu

    def full() -> dict:
        raise torch.OutOfMemoryError("of 3 GiB")

    def broken() -> dict:
        raise ValueError("of its own")

    later = time.monotonic() + 60
    rows = [gpu.attempt(full, later), gpu.attempt(broken, later), gpu.attempt(dict, time.monotonic() - 1)]
    why = ["does not fit into memory", "ValueError: of its own", "no time left"]
    assert [row["why"] for row in rows] == why
    assert [row.get("failed", False) for row in rows] == [False, True, False]
    about = {"device": "cpu", "dtype": "float32", "torch": "2", "shapes": "twins", "peak": {"flops": 1.0, "bytes": 1.0}}
    about |= {"offload": "none", "compiled": False}
    page = gpu.table({**about, "drawing": [{"model": "sana", "batch": 8, **row} for row in rows], "after": []})
    assert [line for line in why if f"| sana | 8 | {line} |" not in page] == []


@pytest.mark.parametrize("name", ["sd1.5", "sdxl", "flux-dev", "qwen-image"])
def test_published_shapes(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from on_gpu.pipelines import exact

    model = exact(name, "meta", "bfloat16", tmp_path)
    assert model.image_side == {"sd1.5": 512}.get(name, 1024)
    parts = [part for part in model.pipe.components.values() if isinstance(part, torch.nn.Module)]
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.bfloat16}
    count = sum(weight.numel() for part in parts for weight in part.parameters())
    assert count / 1e9 == pytest.approx(BY_NAME[name].billions, abs=0.006)
