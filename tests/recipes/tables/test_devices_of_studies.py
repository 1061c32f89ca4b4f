"""`--device` of the tables reaches what draws, masks and measures, and not only training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recipes.tables import drawn as sets
from recipes.tables import sources, trained
from recipes.tables.definition import HeldOut, Source
from recipes.tables.drawn import SetConfig
from recipes.tables.sources import Places
from seediff.study.masks.contest import PAPER

LABELS = {"plain": PAPER["seediff"].table()}


def test_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str | None] = []
    monkeypatch.setattr(sets, "run", lambda job, *_, **__: used.append(job.config.device))
    config = SetConfig(("dog", "cat"), images=2, labels=LABELS)
    sets.draw_set(config, tmp_path / "new", device="cuda:1")
    sets.draw_set(config, tmp_path / "none")
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "seediff.toml").write_text('device = "cpu"\n')
    sets.draw_set(config, begun, device="cuda:1")  # goes on where it was begun
    assert used == ["cuda:1", None, None]


def test_sources_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, Any] = {}
    places = Places(tmp_path / "work", {}, device="cuda:1")
    monkeypatch.setattr(sources, "draw_set", lambda config, out, device, progress: used.update(drawing=device))
    monkeypatch.setattr(sources, "labelled", lambda *_: (("dog",), ["one"]))
    config = SetConfig(("dog", "cat"), images=2, labels=LABELS)
    sources.open_source(Source(set="small", labels="plain"), {"small": config}, places)

    def evaluate(*_: Any, **options: Any) -> Any:
        used["measuring"] = options["device"]
        raise KeyboardInterrupt

    monkeypatch.setattr(trained, "evaluate", evaluate)
    monkeypatch.setattr(trained, "open_test", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        trained.score_one(tmp_path, HeldOut(scenes="truth"), places, None, "", lambda _: None)  # type: ignore[arg-type]
    assert used == {"drawing": "cuda:1", "measuring": "cuda:1"}
