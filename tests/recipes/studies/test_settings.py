"""The contest is honest: who may try what."""

from __future__ import annotations

import json

import pytest

from recipes.studies.settings import LAYERS, METHOD_NAMES, PAMRS, PAPER, Setting, contenders, grid
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.methods import METHOD_FACTS
from seediff.config.presets import ModelConstants, Preset


def test_paper_constants_are_the_papers() -> None:
    assert tuple(PAPER) == METHOD_NAMES
    assert PAPER["seediff"].config == MaskConfig()
    assert {s.config.alpha for s in PAPER.values()} == {0.5}
    assert PAPER["ca_sa"].config.tau == 4
    assert PAPER["fa_seg"].config.beta == 0.55
    assert [PAPER[m].config.expansion for m in ("caa", "cre", "ire")] == ["none", "parallel", "iterative"]
    assert {name for name, s in PAPER.items() if s.capture != CaptureConfig()} == {"daam"}


@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name in METHOD_FACTS])
def test_a_papers_constants_are_what_the_commands_take(method: str) -> None:
    flat: dict = {"mask.method": method}
    for layer in ModelConstants("a-model", Preset()).mask_layers(method):
        flat = {**layer.values, **flat}
    mask, capture = (
        {name[len(part) :]: value for name, value in flat.items() if name.startswith(part)}
        for part in ("mask.", "capture.")
    )
    assert PAPER[method] == Setting(MaskConfig(**mask), CaptureConfig(**capture))


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_grid_holds_the_papers_setting_once_and_no_soft_mask_twice(method: str) -> None:
    settings = grid(method)
    assert PAPER[method] in settings
    assert len({(s.without_refinement, s.config.compete) for s in settings}) == len(settings)
    assert all(s.config.method == PAPER[method].config.method for s in settings)


def test_contenders_are_the_leaders_the_papers_and_the_best_of_every_value() -> None:
    ranked = [(setting.with_config(pamr=False), 1 - i / 1000) for i, setting in enumerate(reversed(grid("seediff")))]
    kept = contenders(ranked, PAPER["seediff"])
    assert kept[0].without_refinement == PAPER["seediff"]  # the last of all by rank
    assert {s for s, _ in ranked[:4]} <= set(kept)
    assert len(kept) < 20
    for name in ("alpha", "expand_levels", "seed_level"):
        for value in {getattr(s.config, name) for s, _ in ranked}:
            first = next(s for s, _ in ranked if getattr(s.config, name) == value)
            assert first in kept
    assert {s.capture.layers for s in kept} == set(LAYERS)


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_a_setting_survives_json(method: str) -> None:
    for setting in grid(method):
        for one in (setting.with_config(beta=0.45), *(setting.with_config(**constants) for constants in PAMRS)):
            assert Setting.from_table(json.loads(json.dumps(one.table())), "a table") == one
    assert PAPER["seediff"].table() == {"method": "seediff", "mask": {}, "capture": {"layers": "all"}}
