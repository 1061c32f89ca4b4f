"""Promises of the pages: benchmarks/promises.py."""

import importlib
from pathlib import Path


def test_every_promise_has_a_test_or_a_reason(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    promises = importlib.import_module("promises")
    assert promises.faults() == []
    monkeypatch.setattr(promises, "promises", lambda: {"look.md": ["A brush refuses glass."]})
    assert "look.md: not decided in promises.toml, or twice: A brush refuses glass." in promises.faults()
