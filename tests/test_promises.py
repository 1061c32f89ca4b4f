"""What is decided by hand about sentences and tests: benchmarks/promises.py."""

import importlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


def test_every_promise_has_a_test_or_a_reason(tool, monkeypatch):
    promises = tool("promises")
    assert promises.faults() == []
    monkeypatch.setattr(promises, "promises", lambda: {"look.md": ["A brush refuses glass."]})
    assert "look.md: not decided in promises.toml, or twice: A brush refuses glass." in promises.faults()
