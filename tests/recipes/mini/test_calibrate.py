"""Templates and their thresholds appear together, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.mini import yardsticks
from recipes.mini.yardsticks import template_sprites, thresholds_of
from seediff.errors import UserError
from seediff.mini.frechet import read_moments
from seediff.mini.scenes import CLASSES
from seediff.mini.shapes import SIDE, read_templates


@pytest.fixture(scope="module")
def sprites(art: Path):
    return template_sprites(art)


@pytest.fixture(autouse=True)
def drawn_once(sprites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardsticks, "template_sprites", lambda _: sprites)


def test_a_calibration_that_is_stopped_leaves_the_templates_as_they_were(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Templates with thresholds of 0, which everything passes, once lay there until all objects had been looked at."""

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(yardsticks, "explained", stopped)
    with pytest.raises(KeyboardInterrupt):
        yardsticks.calibrate_measures(art, tmp_path, whole=1, drawn=1)
    assert list(tmp_path.iterdir()) == []


def test_what_is_calibrated_is_read_back(art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardsticks, "explained", lambda images, *rest: [(0.75, "")] * len(images))
    found = yardsticks.calibrate_measures(art, tmp_path, whole=1, drawn=1)
    assert read_moments(tmp_path / yardsticks.MOMENTS.name)[1] == pytest.approx(found["moments"]["floor"])
    path = tmp_path / yardsticks.TEMPLATES.name
    templates = read_templates(path)
    assert set(templates.thresholds.values()) == {0.71}
    assert set(templates.sprites) == set(CLASSES) == set(templates.thresholds)
    assert "swan" not in templates.names["bird"]  # held out
    for name, shapes in templates.sprites.items():
        assert shapes.shape == (len(templates.names[name]), 4, SIDE, SIDE)
        assert 0 <= shapes.min() <= shapes.max() <= 1
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="is no whole safetensors file"):
        read_templates(path)


def test_thresholds_let_whole_objects_pass() -> None:
    assert thresholds_of({"dog": [0.5, *[0.9] * 99]})["dog"] > 0.8
