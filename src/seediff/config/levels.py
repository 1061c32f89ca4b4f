"""Levels of attention: which a mask method reads and which a network has, checked and fitted before a model runs.

Level d has the side L / d, where L is the latent's side.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import log2
from typing import Any, Literal

from ..errors import UserError
from ..models.families.base import Family
from ..models.families.unet import SD
from ..models.groups import Layers, block_numbers, by_kind
from .constants import CaptureConfig, MaskConfig, SegmentConfig

Reads = Mapping[Literal["self", "cross"], Collection[int] | None]
"""Kind of attention to capture → its levels d (sides L / d); None: all levels."""
EVERYTHING: Reads = {"self": None, "cross": None}


def levels_read(mask: MaskConfig) -> dict[str, tuple[int, ...]]:
    """Option → levels, for the options that set the levels which `mask.method` reads."""
    return {name: _levels(mask, name) for name in dict.fromkeys(_options(mask).values()) if isinstance(name, str)}


def maps_read(mask: MaskConfig) -> Reads:
    """Kind of attention → the levels that `mask.method` needs captured."""
    if mask.facts.own is not None:
        return EVERYTHING
    return {kind: _levels(mask, option) for kind, option in _options(mask).items()}


def reads_self_attention(mask: MaskConfig) -> bool:
    """Whether the method needs self-attention maps."""
    return "self" in _options(mask)


def _options(mask: MaskConfig) -> dict[Literal["cross", "self"], str | tuple[int, ...]]:
    """For each kind of attention that the method reads: the option that sets its levels, or the fixed levels."""
    facts = mask.facts
    cross, own = facts.cross_levels, facts.self_levels
    if "expansion" in facts.options and mask.expansion != "iterative":
        cross = "expand_levels"  # each level has its own seeds, or nothing is expanded
        own = own if mask.expansion == "parallel" or mask.background else None
    return {"cross": cross} if own is None else {"cross": cross, "self": own}


def _levels(mask: MaskConfig, option: str | tuple[int, ...]) -> tuple[int, ...]:
    value = getattr(mask, option) if isinstance(option, str) else option
    return value if isinstance(value, tuple) else (value,)


def check_kinds(family: Family, mask: MaskConfig) -> None:
    """Raise UserError if a method needs self-attention that the family does not provide."""
    if family.no_self_attention and reads_self_attention(mask):
        raise UserError(
            f"method {mask.method} needs self-attention, and {family.title} has no maps of it: {family.no_self_attention}; use method ca"
        )


def check_divides(family: Family, segment: SegmentConfig, model: str) -> None:
    """Raise UserError if a family lacks the input of a `segment` method. model: the model's name, for messages."""
    if why := family.no_self_attention:
        raise UserError(f"segments need self-attention, and {family.title} has no maps of it: {why}; use another model")
    if segment.divides_features and family.network != "unet":
        raise UserError(
            f"method {segment.method} divides the features of a UNet's encoder, and model '{model}' has none: use diffseg or kmeans"
        )


def check_other_text(capture: CaptureConfig, family: Family) -> None:
    """Raise UserError for `capture.prompt` if the network has no layers of cross-attention alone."""
    if capture.prompt is not None and family.network != "unet":
        raise UserError(f"capture.prompt = {capture.prompt}", f"works with UNets, and {family.title} has none", "leave it out")


def fit_layers(unet: Mapping[str, Any], mask: MaskConfig, capture: CaptureConfig, family: Family) -> Layers:
    """`capture.layers` in the groups that this network distinguishes. Raises UserError for blocks that it lacks, and
    for blocks without the attention that `mask.method` reads: Z-Image's first blocks do not attend to text."""
    layers = family.fit_layers(unet, capture.layers)
    check_other_text(capture, family)
    for kind in maps_read(mask):
        group = by_kind(layers)[kind]
        if block_numbers(group) is not None:
            kinds = family.layer_counts(unet, group)
            if not kinds.get(kind) and not kinds.get("joint"):
                raise UserError(f"layers = {group}: method {mask.method} reads {kind}-attention, of which these blocks have none")
    return layers


def _levels_there(unet: Mapping[str, Any], mask: MaskConfig, layers: Layers, family: Family) -> dict[str, list[int]]:
    """Option → the levels that it may name, finest first: those that the captured layers have in every kind of
    attention that it sets.
    """
    there: dict[str, list[int]] = {}
    for kind, option in _options(mask).items():
        if isinstance(option, str):
            levels = family.levels(unet, by_kind(layers)[kind])
            there[option] = [level for level in levels if level in there.get(option, levels)]
    return there


def check_levels(unet: Mapping[str, Any], mask: MaskConfig, capture: CaptureConfig, family: Family = SD) -> None:
    """Raise UserError naming the option and the available levels if `mask.method` reads a level that this network does
    not have.

    unet: the network's config.json. For families whose levels are fitted (`fit_levels`), only kinds and layers are
    checked.
    """
    check_kinds(family, mask)
    layers = fit_layers(unet, mask, capture, family)
    if family.fitted:
        return
    held = _levels_there(unet, mask, layers, family)
    for option, levels in levels_read(mask).items():
        there = held[option]
        missing = [level for level in levels if level not in there]
        if missing:
            value = levels[0] if len(levels) == 1 and option != "expand_levels" else ",".join(map(str, levels))
            of = "" if capture.layers == "all" else f" in its {capture.layers} layers"
            levels_there = ", ".join(map(str, there)) or "none"
            raise UserError(f"{option} = {value}: the model has no attention at L/{missing[0]}{of}; levels there: {levels_there}")


def fit_levels(unet: Mapping[str, Any], mask: MaskConfig, capture: CaptureConfig, family: Family) -> tuple[MaskConfig, list[str]]:
    """The configuration with levels that the network has, and the changes, one line each. Unchanged for a family that
    is not fitted.

    unet: the network's config.json. If two levels are equally near, the finer one is used. Raises UserError if the
    network has none.
    """
    if not family.fitted:
        return mask, []
    layers = fit_layers(unet, mask, capture, family)
    held = _levels_there(unet, mask, layers, family)
    if not all([*held.values(), *(family.levels(unet, group) for group in by_kind(layers).values())]):
        raise UserError(f"layers = {layers}: the model has no attention there")
    notes = [] if layers == capture.layers else [f"layers = {capture.layers}: this model tells no such layers apart; all are read"]
    fitted: dict[str, Any] = {}
    for option, levels in levels_read(mask).items():
        there = held[option]
        nearest = tuple(sorted({min(there, key=lambda other: (abs(log2(other / level)), other)) for level in levels}, reverse=True))
        if nearest != levels:
            fitted[option] = nearest if option == "expand_levels" else nearest[0]
            wanted, closest = (", ".join(level_name(level) for level in some) for some in (levels, nearest))
            notes.append(f"{option} = {','.join(map(str, levels))} ({wanted}): the nearest that the model has is {closest}")
    return replace(mask, **fitted), notes


def fitted_mask(mask: MaskConfig, unet: Mapping[str, Any], capture: CaptureConfig = CaptureConfig(), family: Family = SD) -> MaskConfig:  # noqa: B008
    """`mask` with levels that this network has (`fit_levels`). Raises UserError if it lacks attention that the method
    reads (`check_levels`)."""
    check_levels(unet, mask, capture, family)
    return fit_levels(unet, mask, capture, family)[0]


def level_name(divisor: int) -> str:
    """1 → `L`, 4 → `L/4`."""
    return "L" if divisor == 1 else f"L/{divisor}"
