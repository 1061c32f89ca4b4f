"""What of the contest a network can hold: settings with the levels and layers that it has, and each share of joint attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...config.constants import CaptureConfig
from ...config.levels import fit_levels
from ...models.families.base import Joint
from ...models.registry import Model
from .contest import METHOD_NAMES, PAPER, SHARES, Setting, Share, grid


def fitted_grid(model: Model, method: str) -> list[Setting]:
    """The settings of `method` whose soft masks differ, of this model. As `contest.grid` has them where the model has all levels."""
    return list(dict.fromkeys(one for setting in grid(method) for one in fitted(model, setting)))


def fitted_paper(model: Model) -> dict[str, Setting]:
    """Every method at the constants of its paper, at the nearest levels that the model has."""
    return {method: fitted(model, PAPER[method])[0] for method in METHOD_NAMES}


def fitted(model: Model, setting: Setting) -> list[Setting]:
    """The setting as this model can be asked for it, once a share of its attention; the share that commands take comes first."""
    config, _ = fit_levels(model.network.config, setting.config, CaptureConfig(layers=setting.layers), model.family)
    layers = setting.layers if setting.layers in model.family.groups else "all"
    return [replace(setting, config=config, layers=layers, text_share=share) for share in shares(model)]


def shares(model: Model) -> Sequence[Share]:
    """What a position's attention to a word may be a share of; None: the model has no choice, or the whole row."""
    return SHARES if is_joint(model) else SHARES[:1]


def is_joint(model: Model) -> bool:
    """Whether picture and text are attended to in one softmax, so that there is more than one share."""
    return any(isinstance(one, Joint) for one in model.family.layers(model.network).values())
