"""Templates and their thresholds appear together, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from seediff.mini.yardsticks import calibrate
from seediff.mini.yardsticks.frechet import read_moments
from seediff.mini.yardsticks.shapes import read_templates


def test_a_calibration_that_is_stopped_leaves_the_templates_as_they_were(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Templates with thresholds of 0, which everything passes, once lay there until all objects had been looked at."""

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrate, "explained", stopped)
    with pytest.raises(KeyboardInterrupt):
        calibrate.calibrate_measures(art, tmp_path, whole=1, drawn=1)
    assert list(tmp_path.iterdir()) == []


def test_what_is_calibrated_is_read_back(art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "explained", lambda images, *rest: [(0.75, "")] * len(images))
    found = calibrate.calibrate_measures(art, tmp_path, whole=1, drawn=1)
    assert set(read_templates(tmp_path / calibrate.TEMPLATES.name).thresholds.values()) == {0.71}
    assert read_moments(tmp_path / calibrate.MOMENTS.name)[1] == pytest.approx(found["moments"]["floor"])
