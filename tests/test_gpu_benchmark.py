"""benchmarks/gpu.py on a CPU."""

import importlib
import json
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_a_row_is_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("SEEDIFF_FUSED", "0")
    gpu, report = importlib.import_module("gpu"), tmp_path / "report.json"
    words = "--tiny --device cpu --dtype float32 --minutes 9 --only drawing --rows pixart-sigma:1 --json".split()
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words, str(report)])
    assert gpu.main() == 0
    (row,) = json.loads(report.read_text())["drawing"]
    assert row["floor"] > 1
    assert all(row["step_s"][way] > 0 for way in ("plain", "capture", "generate's maps"))
    assert "| pixart-sigma | 1 | " in capsys.readouterr().out
