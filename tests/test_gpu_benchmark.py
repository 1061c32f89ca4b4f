"""benchmarks/gpu.py on a CPU, with the stand-in for CUDA graphs."""

import importlib
import json
import sys
from itertools import islice
from pathlib import Path

import pytest
from builders.tape import TapeMaker

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("SEEDIFF_FUSED", "0")
    gpu = importlib.import_module("gpu")
    monkeypatch.setattr(gpu, "check_graphs", lambda device: None)
    monkeypatch.setattr(gpu.smoke, "new_maker", lambda device: TapeMaker())
    monkeypatch.setattr(gpu.smoke, "TWINS", ())
    return gpu


def run(gpu, tmp_path, monkeypatch, words):
    report = tmp_path / "report.json"
    line = ["gpu.py", *f"--tiny --device cpu --dtype float32 --minutes 9 --json {report}".split(), *words.split()]
    monkeypatch.setattr(sys, "argv", line)
    code = gpu.main()
    return code, json.loads(report.read_text())


def test_a_row_by_graphs_is_whole(gpu, tmp_path, monkeypatch, capsys):
    code, report = run(gpu, tmp_path, monkeypatch, "--only drawing --graphs --rows pixart-sigma:1")
    (row,) = report["drawing"]
    assert (code, row["graphs"]["same_maps"], row["graphs"]["eager_because"]) == (0, True, "")
    assert row["graphs"]["replayed"] > 0
    assert row["floor"] > 1
    assert all(row["step_s"][way] > 0 for way in ("plain", "capture", "graphs: plain", "graphs: capture"))
    assert "| pixart-sigma | 1 | " in capsys.readouterr().out


def test_smoke_says_where_bytes_differ(gpu, tmp_path, monkeypatch):
    narrow = gpu.smoke.twin("flux-dev", "cpu", "float32", tmp_path)
    monkeypatch.setattr(gpu.smoke, "load_model", lambda name, device, dtype: narrow)
    monkeypatch.setattr(gpu.smoke, "PICTURES", 1)
    code, report = run(gpu, tmp_path, monkeypatch, "--only smoke")
    assert code == 0
    assert [row["what"] for row in report["smoke"]] == ["mini", "mini, tried"]
    assert "of the time" in report["smoke"][1]["said"][0]

    def spoiling(device):
        made = TapeMaker()
        made.spoils = True
        return made

    works = gpu.smoke.works
    monkeypatch.setattr(gpu.smoke, "works", lambda *given: [*works(*given)][:1])
    monkeypatch.setattr(gpu.smoke, "new_maker", spoiling)
    works = gpu.smoke.works
    monkeypatch.setattr(gpu.smoke, "works", lambda *given: islice(works(*given), 1))
    code, report = run(gpu, tmp_path, monkeypatch, "--only smoke")
    assert (code, report["smoke"][0]["failed"]) == (1, True)
