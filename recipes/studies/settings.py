"""The methods that the studies of masks compare: each at its authors' constants, and the grid of settings over which it
is tuned.

The comparison is fair: for every method, baselines included, the averaged layers, its levels, its other constants,
PAMR's dilations (or no PAMR) and its threshold are tuned. A method with fewer constants has a smaller grid, never a
coarser one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise, product
from typing import Any

import numpy as np

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.attention.plan import fit_mask
from seediff.config.methods import METHOD_FACTS, CaptureConfig, MaskConfig
from seediff.config.settings import check_table, table_values
from seediff.models.layers import LayerChoice, block_names, by_kind
from seediff.models.registry import Model

LAYERS: tuple[LayerChoice, ...] = ("all", "up", "last", "up/last")
SHARES = (None, "text")
"""What a word's attention is a share of, in joint attention: values of `CaptureConfig.text_share`."""
BETAS = np.round(np.arange(0.05, 1.0, 0.05), 2)
"""Thresholds tried. A sweep of all of them costs as much as one."""

PAMRS: tuple[Mapping[str, Any], ...] = (
    {"pamr_dilations": None},
    {"pamr_dilations": (1, 2, 4, 8)},
    {"pamr_dilations": (1, 2, 4, 8, 16), "pamr_iterations": 20},
)
"""PAMR's constants tried: the paper's dilations, scaled to the image's side; fixed dilations; wider dilations with more
iterations.
"""

ALPHAS = (0.3, 0.4, 0.5, 0.6)
LEVELS = ((4, 2, 1), (4, 2), (2, 1), (2,))
CROSS_LEVELS = ((4, 2, 1), (4, 2), (2, 1), (4,), (2,), (1,))
ONE_LEVEL = (4, 2, 1)
"""Levels that are tried alone. Seeds that are finer than the first expanded level are averaged down to it: they bring
other layers' attention, not finer seeds."""


@dataclass(frozen=True)
class Entry:
    """A method of the studies. title: its name in tables. tried: option of MaskConfig → values tried, the authors'
    among them. switches: options that turn SeeDiff into an ablation; empty for a method of METHOD_FACTS."""

    title: str
    tried: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)


CONTEST: dict[str, Entry] = {
    "ca": Entry("CA", {"expand_levels": CROSS_LEVELS}),
    "ca_sa": Entry("CA·SA", {"tau": (1, 2, 4, 8), "self_level": ONE_LEVEL, "seed_level": ONE_LEVEL}),
    "caa": Entry("CAA", {"expand_levels": CROSS_LEVELS}, {"expansion": "none", "background": False}),
    "cre": Entry("CRE", {"expand_levels": LEVELS, "alpha": ALPHAS}, {"expansion": "parallel", "background": False}),
    "ire": Entry("IRE", {"expand_levels": LEVELS, "alpha": ALPHAS, "seed_level": ONE_LEVEL}, {"background": False}),
    "seediff": Entry("SeeDiff", {"expand_levels": LEVELS, "alpha": ALPHAS, "seed_level": ONE_LEVEL}),
    "fa_seg": Entry("FA-Seg"),
    "diffsegmenter": Entry("DiffSegmenter", {"self_level": ONE_LEVEL}),
    "iseg_walk": Entry("iSeg", {"tau": (1, 2, 4, 8), "self_level": ONE_LEVEL}),
    "nerve_walk": Entry("NERVE", {"tau": (1, 2, 5, 10), "self_level": ONE_LEVEL, "seed_level": ONE_LEVEL}),
    "daam": Entry("DAAM", {"expand_levels": CROSS_LEVELS}),
}
"""Every method, and the options tuned for it besides layers, PAMR and threshold. `reference` does not take part: it
chooses its seeds, and cuts its masks before and after PAMR, by its own rules."""
METHOD_NAMES = tuple(CONTEST)


def contest() -> dict[str, Any]:
    """What decides which methods are tuned, and over what: an ingredient of studies, in JSON types."""
    entries = {name: (entry.tried, entry.switches) for name, entry in CONTEST.items()}
    return {"methods": entries, "layers": LAYERS, "shares": SHARES, "betas": BETAS.tolist(), "pamrs": PAMRS}


AFTER = ("beta", "compete", "pamr", "pamr_iterations", "pamr_dilations")
"""Options of MaskConfig that apply to the classes' soft masks at the image's size."""
LEADERS = 4
"""How many of a method's settings are tried with PAMR because of their rank alone; see `contenders`."""


@dataclass(frozen=True)
class Setting:
    """One method's constants: which maps are captured, and how the mask is made from them."""

    config: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)

    def with_config(self, **changes: Any) -> Setting:
        return Setting(replace(self.config, **changes), self.capture)

    @cached_property  # used again in every scene
    def without_refinement(self) -> Setting:
        """The setting of the soft mask at the attention's size, with defaults for AFTER. Settings that differ only in
        AFTER share it.
        """
        plain = MaskConfig()
        return self.with_config(**{name: getattr(plain, name) for name in AFTER})

    def table(self) -> dict[str, Any]:
        """What defines the setting, for programs, in JSON types: the method, and the options that differ from SeeDiff's
        paper.
        """
        mask = _changed(self.config)
        return {"method": mask.pop("method", MaskConfig.method), "mask": mask, "capture": self._captured()}

    def _captured(self) -> dict[str, Any]:
        return {"layers": self.capture.layers} | _changed(self.capture)

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Setting:
        """The setting whose `table` this is. where: the file and the place in it, for messages. Raises UserError for an
        invalid table.
        """
        mask = check_table(MaskConfig, {**table.get("mask", {}), "method": table.get("method")}, where)
        return cls(MaskConfig(**mask), CaptureConfig(**check_table(CaptureConfig, table.get("capture", {}), where)))


def _changed(config: MaskConfig | CaptureConfig) -> dict[str, Any]:
    plain = type(config)()
    values = {one.name: getattr(config, one.name) for one in fields(config)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != getattr(plain, name)
    }


def _paper(name: str) -> Setting:
    method = name if name in METHOD_FACTS else "seediff"
    own = METHOD_FACTS[method].defaults
    mask = {"method": method, **table_values(own, "mask"), **CONTEST[name].switches}
    return Setting(MaskConfig(**mask), CaptureConfig(**table_values(own, "capture")))


PAPER = {name: _paper(name) for name in CONTEST}
"""Every method at the constants of its paper."""


def grid(method: str) -> list[Setting]:
    """The settings of `method`, with and without `compete`, that are tried with every threshold without PAMR;
    `contenders` also with it.
    """
    tried = {**CONTEST[method].tried, "compete": (False, True)}
    configs = [
        PAPER[method].with_config(**dict(zip(tried, values, strict=True))) for values in product(*tried.values())
    ]
    return [
        replace(setting, capture=replace(setting.capture, layers=layers)) for layers in LAYERS for setting in configs
    ]


def contenders(method: str, ranked: Sequence[tuple[Setting, float]], paper: Setting) -> list[Setting]:
    """The settings of a method to try with PAMR, which costs more than everything else. ranked: settings, each with its
    mean IoU without PAMR.

    They are the paper's setting, the LEADERS best, and for every value of every constant the best setting that has it.
    So a constant that gains more from PAMR than others is not lost, and reports can fix any one constant. The rest is
    far behind even before PAMR.
    """
    order = [setting for setting, _ in sorted(ranked, key=lambda pair: -pair[1])]
    kept = dict.fromkeys(setting for setting in order if setting.without_refinement == paper.without_refinement)
    kept |= dict.fromkeys(order[:LEADERS])
    seen = set()
    for setting in order:
        choices = {"layers": setting.capture.layers, "text_share": setting.capture.text_share}
        choices |= {option: getattr(setting.config, option) for option in ("compete", *CONTEST[method].tried)}
        for choice in choices.items():
            if choice not in seen:
                seen.add(choice)
                kept[setting] = None
    return list(kept)


# For one network: settings with the levels and layers that it has, and each share of joint attention.


def fitted_grid(model: Model, method: str) -> list[Setting]:
    """`grid`, fitted to this model, without repeats."""
    return list(dict.fromkeys(possible for setting in grid(method) for possible in fitted(model, setting)))


def fitted_paper(model: Model) -> dict[str, Setting]:
    """Every method at the constants of its paper, at the nearest levels that the model has."""
    return {method: fitted(model, PAPER[method])[0] for method in METHOD_NAMES}


def fitted(model: Model, setting: Setting) -> list[Setting]:
    """The setting with the levels that this model has, once per group of its layers and share of its attention; the
    layers and the share that commands use come first."""
    config, _ = fit_mask(model.family, model.layers, setting.config, setting.capture.layers)
    is_joint = any(layer.is_joint for layer in model.layers.values())
    return [
        replace(setting, config=config, capture=replace(setting.capture, layers=layers, text_share=share))
        for layers, share in product(layer_groups(model, setting.capture.layers), SHARES if is_joint else SHARES[:1])
    ]


def layer_groups(model: Model, layers: LayerChoice) -> Sequence[LayerChoice]:
    """The groups of layers that are tried in place of a UNet's `layers`. For a transformer, which has no sides: all
    blocks, and each third of them."""
    sides = ("all", "up", "down", "last") if model.family.network_part == "unet" else ("all",)
    if {*by_kind(layers).values()} <= {*sides}:
        if len(sides) > 1:
            return (layers,)
        count = len(block_names(model.layers))
        ends = [round(third * count / 3) for third in range(4)]
        return (
            "all",
            *(str(first) if end == first + 1 else f"{first}-{end - 1}" for first, end in pairwise(ends) if end > first),
        )
    return ("all",)
