"""`benchmarks/gpu.py` in a small way on a CPU, and the shapes that it makes on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

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
