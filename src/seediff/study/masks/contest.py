"""Who competes, and with what: each method at the paper's constants, and the grid in which its own best is sought.

An honest contest: every method, the baselines too, may choose which layers are averaged, its levels, its own constants,
PAMR's dilations (or no PAMR) and its threshold. A method with fewer constants has a smaller grid, never a coarser one.

The grids have 296 soft masks in all (CA and CAA 12 each, CRE 32, CA·SA 48, IRE and SeeDiff 96 each), every one of which
meets every threshold; `contenders` says which of them meet PAMR, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np

from ...config.constants import CaptureConfig, MaskConfig
from ...config.fields import checked
from ...config.levels import fit_levels
from ...errors import UserError
from ...files.documents import fit
from ...models.families.base import Joint
from ...models.groups import Layers, by_kind, normal_layers
from ...models.registry import Model

Share = Literal["row", "text"] | None
"""Of joint attention, as `CaptureConfig.text_share` has it."""
Source = tuple[Layers, Share]
"""Which maps: the layers that are averaged, and the share that was captured."""
LAYERS: tuple[Layers, ...] = ("all", "up")
SHARES: tuple[Share, ...] = (None, "text")
METHOD_NAMES = ("ca", "ca_sa", "caa", "cre", "ire", "seediff")
BETAS = np.round(np.arange(0.05, 1.0, 0.05), 2)
"""Thresholds tried: every one is swept at the price of one."""

PAMR_WIDTHS: tuple[tuple[int, ...] | None, ...] = (None, (1, 2, 4, 8))
"""PAMR's dilations tried: the paper's, scaled to the image's side, and a fixed set."""

ALPHAS = (0.3, 0.4, 0.5, 0.6)
LEVELS = ((4, 2, 1), (4, 2), (2, 1), (2,))
CROSS_LEVELS = ((4, 2, 1), (4, 2), (2, 1), (4,), (2,), (1,))
SEED_LEVELS = (4, 2, 1)
"""Cross-attention that gives the seeds. One that is finer than the first level expanded is averaged down to it: it brings other
layers' attention, not finer seeds."""

LEADERS = 4
"""How many of a method's soft masks meet PAMR for their rank alone; see `contenders`."""


@dataclass(frozen=True)
class CaptureTable:
    layers: Layers
    text_share: Literal["row", "text"] | None = None


@dataclass(frozen=True)
class SettingTable:
    """What `Setting.table` writes."""

    method: str
    mask: dict[str, Any]
    capture: CaptureTable


@dataclass(frozen=True)
class Setting:
    """One competitor's constants: which layers are averaged, and how the mask is made from them."""

    config: MaskConfig = field(default_factory=MaskConfig)
    layers: Layers = "all"
    text_share: Share = None

    @property
    def source(self) -> Source:
        """The maps that it is made from."""
        return self.layers, self.text_share

    @property
    def capture(self) -> CaptureConfig:
        """How those are captured."""
        return CaptureConfig(layers=self.layers, text_share=self.text_share)

    def with_config(self, **changes: Any) -> Setting:
        """The same with some of its constants changed."""
        return replace(self, config=replace(self.config, **changes))

    def without_refinement(self) -> Setting:
        """The same soft mask before PAMR: settings that differ only in PAMR or threshold share it."""
        plain = MaskConfig()
        return self.with_config(beta=plain.beta, pamr=plain.pamr, pamr_dilations=plain.pamr_dilations)

    def table(self) -> dict[str, Any]:
        """What defines it, for programs, in JSON's types: the method, and what differs from the paper's constants."""
        paper = MaskConfig()
        mask = {f.name: getattr(self.config, f.name) for f in fields(MaskConfig) if getattr(self.config, f.name) != getattr(paper, f.name)}
        method = mask.pop("method", paper.method)
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in mask.items()}
        return {"method": method, "mask": plain, "capture": {"layers": self.layers, **self._share()}}

    def _share(self) -> dict[str, str]:
        return {} if self.text_share is None else {"text_share": self.text_share}

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Setting:
        """The setting whose `table` this is. where: the file and the place in it, for messages. Raises UserError when it is none."""
        setting = fit(table, SettingTable, where)
        values = checked(MaskConfig, {**setting.mask, "method": setting.method}, where)
        try:
            return cls(MaskConfig(**values), normal_layers(setting.capture.layers), setting.capture.text_share)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    def constants(self) -> dict[str, Any]:
        """What defines it, for tables: only the constants that its method uses."""
        config = self.config
        shown: dict[str, Any] = {"layers": self.layers, **self._share(), "beta": config.beta, "pamr": pamr_name(config)}
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
            for tau, (self_level, seed_level) in product((1, 2, 4, 8), ((2, 4), (2, 2), (2, 1), (4, 4), (1, 2), (1, 1)))
        ]
    elif method in ("ca", "caa"):
        configs = [replace(paper, expand_levels=levels) for levels in CROSS_LEVELS]
    elif method == "cre":
        configs = [replace(paper, alpha=alpha, expand_levels=levels) for alpha, levels in product(ALPHAS, LEVELS)]
    else:
        configs = [
            replace(paper, alpha=alpha, expand_levels=levels, seed_level=seed_level)
            for alpha, levels, seed_level in product(ALPHAS, LEVELS, SEED_LEVELS)
        ]
    return [Setting(config, layers) for layers in LAYERS for config in configs]


def refinements(setting: Setting) -> list[Setting]:
    """The setting without PAMR and with each of its widths."""
    return [setting.with_config(pamr=False), *(setting.with_config(pamr=True, pamr_dilations=width) for width in PAMR_WIDTHS)]


def contenders(ranked: Sequence[tuple[Setting, float]], papers: Mapping[str, Setting] = PAPER) -> list[Setting]:
    """Which of a method's settings, each with its mean IoU without PAMR, are worth PAMR, which costs more than all else.

    Those are the paper's, the leaders, and for every value of every constant the best that has it: so a constant that PAMR
    suits better than the others is not lost, and reports can fix any one constant. The rest is far behind before PAMR already.
    """
    order = [setting for setting, _ in sorted(ranked, key=lambda pair: -pair[1])]
    bare = {setting.without_refinement() for setting in papers.values()}
    kept = dict.fromkeys(setting for setting in order if setting.without_refinement() in bare)
    kept |= dict.fromkeys(order[:LEADERS])
    seen = set()
    for setting in order:
        for value in _values(setting):
            if value not in seen:
                seen.add(value)
                kept[setting] = None
    return list(kept)


def _values(setting: Setting) -> Iterator[tuple[str, Any]]:
    config = setting.config
    yield "layers", setting.layers
    yield "text_share", setting.text_share
    for name in ("alpha", "expand_levels", "seed_level", "self_level", "tau"):
        yield name, getattr(config, name)


# What of the contest a network can hold: settings with the levels and layers that it has, and each share of joint attention.


def fitted_grid(model: Model, method: str) -> list[Setting]:
    """`grid` as far as this model has its levels."""
    return list(dict.fromkeys(possible for setting in grid(method) for possible in fitted(model, setting)))


def fitted_paper(model: Model) -> dict[str, Setting]:
    """Every method at the constants of its paper, at the nearest levels that the model has."""
    return {method: fitted(model, PAPER[method])[0] for method in METHOD_NAMES}


def fitted(model: Model, setting: Setting) -> list[Setting]:
    """The setting as this model can be asked for it, once per group of its layers and share of its attention; the layers and the share
    that commands take come first."""
    config, _ = fit_levels(model.network.config, setting.config, CaptureConfig(layers=setting.layers), model.family)
    return [
        replace(setting, config=config, layers=layers, text_share=share)
        for layers, share in product(layer_groups(model, setting.layers), shares(model))
    ]


def layer_groups(model: Model, layers: Layers) -> Sequence[Layers]:
    """The groups of layers that are tried where a UNet's are `layers`: of a transformer, which has no sides, all, and each third of its
    blocks."""
    if {*by_kind(layers).values()} <= {*model.family.groups}:
        if len(model.family.groups) > 1:
            return (layers,)
        count = len(model.family.blocks(model.network.config))
        ends = [round(third * count / 3) for third in range(4)]
        return ("all", *(str(first) if end == first + 1 else f"{first}-{end - 1}" for first, end in pairwise(ends) if end > first))
    return ("all",)


def shares(model: Model) -> Sequence[Share]:
    """What a position's attention to a word may be a share of; only joint attention, one softmax of picture and text, leaves a choice."""
    is_joint = any(isinstance(layer, Joint) for layer in model.family.layers(model.network).values())
    return SHARES if is_joint else SHARES[:1]
