"""What long work says of itself where there is no terminal."""

from __future__ import annotations

import pytest

from recipes.progress import LINE_SECONDS, tracked


def test_a_line_a_minute(capsys: pytest.CaptureFixture) -> None:
    now = [0.0]
    for label, total, step in (("measuring", 10, LINE_SECONDS / 4), ("tuning", 2, LINE_SECONDS)):
        for item in tracked(range(total), label, total, clock=lambda: now[0]):
            assert item < total
            now[0] += step
    out, said = capsys.readouterr()
    assert not out
    assert said.splitlines() == [
        "seediff: measuring: 4 of 10, 0:01:30 left",
        "seediff: measuring: 8 of 10, 0:00:30 left",
        "seediff: tuning: 1 of 2, 0:01:00 left",
        "seediff: tuning: 2 of 2, 0:00:00 left",
    ]
