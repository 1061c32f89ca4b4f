"""What is decided by hand about sentences and tests: benchmarks/promises.py and absences.py."""

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


def test_every_assertion_of_absence_can_fail(tool, monkeypatch, tmp_path):
    absences = tool("absences")
    assert absences.faults() == []
    lines = ("row['soft'] is None", "all('made' not in row for row in rows)", "not {'area'} & keys", "call() == []")
    (tmp_path / "test_rows.py").write_text("".join(f"assert {line}\n" for line in lines))
    (tmp_path / "decided.toml").write_text("""["test_rows.py"]\nsoft = "made"\narea = "{'area'}"\nlabels = "done"\n""")
    monkeypatch.setattr(absences, "TESTS", tmp_path)
    monkeypatch.setattr(absences, "DECIDED", tmp_path / "decided.toml")
    assert absences.faults() == [
        "test_rows.py: there is no such assertion: labels",
        f"test_rows.py: not decided in absences.toml, or twice: {lines[1]}",
        "test_rows.py: the words that put it there are gone: {'area'}",
    ]
