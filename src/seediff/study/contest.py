"""Who competes, and with what: each method at the paper's constants, and the grid in which its own best is sought.

An honest contest: every method, the baselines too, may choose which layers are averaged, its levels, its own constants,
PAMR's dilations (or no PAMR) and its threshold. A method with fewer constants has a smaller grid, never a coarser one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

import numpy as np

from ..config import MaskConfig

Layers = Literal["all", "up"]
LAYERS: tuple[Layers, ...] = ("all", "up")
METHOD_NAMES = ("ca", "ca_sa", "caa", "cre", "ire", "seediff")
BETAS = np.round(np.arange(0.05, 1.0, 0.05), 2)
"""Thresholds tried: every one is swept at the price of one."""

PAMR_WIDTHS: tuple[tuple[int, ...] | None, ...] = (None, (1, 2, 4, 8))
"""PAMR's dilations tried: the paper's, scaled to the image's side, and a fixed set."""

ALPHAS = (0.3, 0.4, 0.5, 0.6)
LEVELS = ((4, 2, 1), (4, 2), (2, 1), (2,))
CROSS_LEVELS = ((4, 2, 1), (4, 2), (2, 1), (4,), (2,), (1,))


@dataclass(frozen=True)
class Setting:
    """One competitor's constants: which layers are averaged, and how the mask is made from them."""

    config: MaskConfig = field(default_factory=MaskConfig)
    layers: Layers = "all"

    def with_config(self, **changes: Any) -> Setting:
        """The same with some of its constants changed."""
        return replace(self, config=replace(self.config, **changes))

    def without_refinement(self) -> Setting:
        """The same soft mask before PAMR: settings that differ only in PAMR or threshold share it."""
        plain = MaskConfig()
        return self.with_config(beta=plain.beta, pamr=plain.pamr, pamr_dilations=plain.pamr_dilations)

    def constants(self) -> dict[str, Any]:
        """What defines it, for tables: only the constants that its method uses."""
        config = self.config
        shown: dict[str, Any] = {"layers": self.layers, "beta": config.beta, "pamr": pamr_name(config)}
        if config.method == "ca_sa":
            return shown | {"tau": config.tau, "self_level": config.self_level, "seed_level": config.seed_level}
        shown["levels"] = list(config.expand_levels)
        if config.method == "ca" or config.expansion == "none":
            return shown
        shown["alpha"] = config.alpha
        return shown | ({"seed_level": config.seed_level} if config.expansion == "iterative" else {})


def pamr_name(config: MaskConfig) -> str:
    """How PAMR is set, in a word: `off`, `scaled` or its dilations."""
    if not config.pamr:
        return "off"
    return "scaled" if config.pamr_dilations is None else " ".join(str(d) for d in config.pamr_dilations)


PAPER: dict[str, Setting] = {
    "ca": Setting(MaskConfig(method="ca")),
    "ca_sa": Setting(MaskConfig(method="ca_sa")),
    "caa": Setting(MaskConfig(expansion="none", background=False)),
    "cre": Setting(MaskConfig(expansion="parallel", background=False)),
    "ire": Setting(MaskConfig(background=False)),
    "seediff": Setting(MaskConfig()),
}
"""Every method at the constants of its paper."""


def grid(method: str) -> list[Setting]:
    """The settings of `method` whose soft masks differ; each meets every PAMR width, no PAMR, and every threshold."""
    paper = PAPER[method].config
    if method == "ca_sa":
        configs = [
            replace(paper, tau=tau, self_level=self_level, seed_level=seed_level)
            for tau, (self_level, seed_level) in product((1, 2, 4, 8), ((2, 4), (2, 2), (4, 4), (1, 2)))
        ]
    elif method in ("ca", "caa"):
        configs = [replace(paper, expand_levels=levels) for levels in CROSS_LEVELS]
    elif method == "cre":
        configs = [replace(paper, alpha=alpha, expand_levels=levels) for alpha, levels in product(ALPHAS, LEVELS)]
    else:
        configs = [
            replace(paper, alpha=alpha, expand_levels=levels, seed_level=seed_level)
            for alpha, levels in product(ALPHAS, LEVELS)
            for seed_level in sorted({levels[0], 4}, reverse=True)
        ]
    return [Setting(config, layers) for layers in LAYERS for config in configs]


def refinements(setting: Setting) -> list[Setting]:
    """The setting without PAMR and with each of its widths."""
    return [setting.with_config(pamr=False), *(setting.with_config(pamr=True, pamr_dilations=width) for width in PAMR_WIDTHS)]
