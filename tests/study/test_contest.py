"""The contest is honest: who may try what."""

from __future__ import annotations

import pytest

from seediff.config import MaskConfig
from seediff.study.contest import METHOD_NAMES, PAMR_WIDTHS, PAPER, Setting, grid, refinements


def test_paper_constants_are_the_papers() -> None:
    assert tuple(PAPER) == METHOD_NAMES
    assert PAPER["seediff"].config == MaskConfig()
    assert {s.config.beta for s in PAPER.values()} == {0.3}
    assert {s.config.alpha for s in PAPER.values()} == {0.5}
    assert PAPER["ca_sa"].config.tau == 4
    assert [PAPER[m].config.expansion for m in ("caa", "cre", "ire")] == ["none", "parallel", "iterative"]
    assert all(s.layers == "all" for s in PAPER.values())


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_grid_holds_the_papers_setting_once_and_no_soft_mask_twice(method: str) -> None:
    settings = grid(method)
    assert PAPER[method] in settings
    assert len({s.without_refinement() for s in settings}) == len(settings)
    assert all(s.config.method == PAPER[method].config.method for s in settings)


def test_refinements_share_the_soft_mask() -> None:
    tried = refinements(PAPER["seediff"])
    assert len(tried) == 1 + len(PAMR_WIDTHS)
    assert len({s.without_refinement() for s in tried}) == 1
    assert [s.config.pamr for s in tried] == [False, True, True]


def test_constants_name_only_what_the_method_uses() -> None:
    assert Setting(MaskConfig(method="ca_sa")).constants() == {
        "layers": "all", "beta": 0.3, "pamr": "scaled", "tau": 4, "self_level": 2, "seed_level": 4,
    }  # fmt: skip
    assert set(PAPER["caa"].constants()) == {"layers", "beta", "pamr", "levels"}
    assert PAPER["seediff"].with_config(pamr_dilations=(1, 2)).constants()["pamr"] == "1 2"
    assert PAPER["seediff"].with_config(pamr=False).constants()["pamr"] == "off"
