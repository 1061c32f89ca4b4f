"""What of the contest a network can hold: settings with the levels and layers that it has, and each share of joint attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product

from ...config.constants import CaptureConfig
from ...config.levels import fit_levels
from ...models.families.base import Joint
from ...models.groups import Layers
from ...models.registry import Model
from .contest import METHOD_NAMES, PAPER, SHARES, Setting, Share, grid


def fitted_grid(model: Model, method: str) -> list[Setting]:
    """The settings of `method` whose soft masks differ, of this model. As `contest.grid` has them where the model has all levels."""
    return list(dict.fromkeys(one for setting in grid(method) for one in fitted(model, setting)))


def fitted_paper(model: Model) -> dict[str, Setting]:
    """Every method at the constants of its paper, at the nearest levels that the model has."""
    return {method: fitted(model, PAPER[method])[0] for method in METHOD_NAMES}


def fitted(model: Model, setting: Setting) -> list[Setting]:
    """The setting as this model can be asked for it, once a group of its layers and a share of its attention; the layers and the share
    that commands take come first."""
    config, _ = fit_levels(model.network.config, setting.config, CaptureConfig(layers=setting.layers), model.family)
    return [
        replace(setting, config=config, layers=layers, text_share=share)
        for layers, share in product(layer_groups(model, setting.layers), shares(model))
    ]


def layer_groups(model: Model, layers: Layers) -> Sequence[Layers]:
    """The groups of layers that are tried where a UNet's are `layers`: of a transformer, which has no sides, all, and each third of its
    blocks."""
    if layers in model.family.groups:
        if len(model.family.groups) > 1:
            return (layers,)
        count = len(model.family.blocks(model.network.config))
        ends = [round(third * count / 3) for third in range(4)]
        return ("all", *(_blocks(first, end - 1) for first, end in pairwise(ends) if end > first))
    return ("all",)


def _blocks(first: int, last: int) -> Layers:
    return str(first) if first == last else f"{first}-{last}"


def shares(model: Model) -> Sequence[Share]:
    """What a position's attention to a word may be a share of; None: the model has no choice, or the whole row."""
    return SHARES if is_joint(model) else SHARES[:1]


def is_joint(model: Model) -> bool:
    """Whether picture and text are attended to in one softmax, so that there is more than one share."""
    return any(isinstance(one, Joint) for one in model.family.layers(model.network).values())
