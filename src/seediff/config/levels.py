"""Levels of attention that a mask method reads, and the nearest that a network has. Level d has the side L / d of the
latent's side L.

`attention.plan.plan_capture` uses these rules for a run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import log2
from typing import Any, Literal

from ..errors import UserError
from ..models.families.base import Family
from ..models.groups import by_kind
from .constants import CaptureConfig, MaskConfig

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
        why = f"{family.title} has no maps of it: {family.no_self_attention}"
        raise UserError("mask.method", f"{mask.method}: needs self-attention, and {why}", "use method ca")


def fit_levels(
    unet: Mapping[str, Any], mask: MaskConfig, capture: CaptureConfig, family: Family
) -> tuple[MaskConfig, list[str]]:
    """The configuration with levels that the network has, and the changes, one line each.

    Families that are `fitted` get the nearest levels, of two that are equally near the finer one. Raises UserError if
    the network has no attention in the captured layers, and for a level that it lacks in a family that is not fitted.

    unet: the network's config.json. If it is not known, or a UNet's does not name its blocks, nothing changes.
    """
    if not unet or (family.network == "unet" and not {"down_block_types", "up_block_types"} <= set(unet)):
        return mask, []
    layers = family.fit_layers(unet, capture.layers)
    there: dict[
        str, list[int]
    ] = {}  # option → the levels that it may name, finest first: those of every kind of attention that it sets
    for kind, option in _options(mask).items():
        if isinstance(option, str):
            levels = family.levels(unet, by_kind(layers)[kind])
            there[option] = [level for level in levels if level in there.get(option, levels)]
    if not family.fitted:
        for option, levels in levels_read(mask).items():
            _check_levels(option, levels, there[option], capture.layers)
        return mask, []
    if not all([*there.values(), *(family.levels(unet, group) for group in by_kind(layers).values())]):
        raise UserError("capture.layers", f"{layers}: the model has no attention there")
    notes: list[str] = []
    if layers != capture.layers:
        notes.append(f"layers = {capture.layers}: this model tells no such layers apart; all are read")
    fitted: dict[str, Any] = {}
    for option, levels in levels_read(mask).items():
        near = {min(there[option], key=lambda other: (abs(log2(other / level)), other)) for level in levels}
        nearest = tuple(sorted(near, reverse=True))
        if nearest != levels:
            fitted[option] = nearest if option == "expand_levels" else nearest[0]
            wanted, closest = (", ".join(level_name(level) for level in some) for some in (levels, nearest))
            listed = ",".join(map(str, levels))
            notes.append(f"{option} = {listed} ({wanted}): the nearest that the model has is {closest}")
    return replace(mask, **fitted), notes


def _check_levels(option: str, levels: tuple[int, ...], there: list[int], layers: str) -> None:
    if missing := [level for level in levels if level not in there]:
        of = "" if layers == "all" else f" in its {layers} layers"
        problem = f"{','.join(map(str, levels))}: the model has no attention at L/{missing[0]}{of}"
        raise UserError(f"mask.{option}", problem, f"levels there: {', '.join(map(str, there)) or 'none'}")


def level_name(divisor: int) -> str:
    """1 → `L`, 4 → `L/4`."""
    return "L" if divisor == 1 else f"L/{divisor}"
