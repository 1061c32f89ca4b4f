"""What a study says of itself where there is no terminal."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from seediff.study.bars import LINE_SECONDS, Lines, study_progress


def test_a_line_a_minute(capsys: pytest.CaptureFixture) -> None:
    now = [0.0]
    with Lines(lambda: now[0]) as progress:
        task = progress.add_task("measuring", total=40)
        for _ in range(10):
            now[0] += LINE_SECONDS / 4
            progress.advance(task)
        for _ in progress.track(range(2), description="tuning"):
            now[0] += LINE_SECONDS
    out, said = capsys.readouterr()
    assert not out
    assert said.splitlines() == [
        "seediff: measuring: 4 of 40, 0:09:00 left",
        "seediff: measuring: 8 of 40, 0:08:00 left",
        "seediff: tuning: 1 of 2, 0:01:00 left",
        "seediff: tuning: 2 of 2, 0:00:00 left",
    ]


def test_bars_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(study_progress(), Lines)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert type(study_progress()) is Progress
