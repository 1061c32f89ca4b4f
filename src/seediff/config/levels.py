"""Levels of attention that a mask method reads, and the nearest that a network has. Level d has the side L / d of the
latent's side L.
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
from .methods import LevelOption, Levels

Reads = Mapping[Literal["self", "cross"], Collection[int] | None]
"""Kind of attention to capture → its levels d (sides L / d); None: all levels."""
EVERYTHING: Reads = {"self": None, "cross": None}


def maps_read(mask: MaskConfig) -> Reads:
    """Kind of attention → the levels that `mask.method` needs captured."""
    if mask.facts.levels is None:
        return EVERYTHING
    return {kind: _levels(mask, option) for kind, option in _options(mask).items()}


def reads_self_attention(mask: MaskConfig) -> bool:
    """Whether the method is known to need self-attention maps."""
    return "self" in _options(mask)


def _options(mask: MaskConfig) -> dict[Literal["cross", "self"], LevelOption | tuple[int, ...]]:
    """For each kind of attention that the method is known to read: the option that sets its levels, or the fixed
    levels."""
    levels = mask.facts.levels or Levels()
    cross, own = levels.cross, levels.self
    if "expansion" in mask.facts.options and mask.expansion != "iterative":
        cross = "expand_levels"  # each level has its own seeds, or nothing is expanded
        own = own if mask.expansion == "parallel" or mask.background else None
    kinds: tuple[tuple[Literal["cross", "self"], LevelOption | tuple[int, ...] | None], ...]
    kinds = ("cross", cross), ("self", own)
    return {kind: option for kind, option in kinds if option is not None}


def _levels(mask: MaskConfig, option: LevelOption | tuple[int, ...]) -> tuple[int, ...]:
    value = getattr(mask, option) if isinstance(option, str) else option
    return value if isinstance(value, tuple) else (value,)


def check_kinds(family: Family, mask: MaskConfig) -> None:
    """Raise UserError if a method needs self-attention that the family does not provide."""
    if family.no_self_attention and reads_self_attention(mask):
        why = f"{family.title} has no maps of it: {family.no_self_attention}"
        raise UserError("mask.method", f"{mask.method}: needs self-attention, and {why}", "use method ca")


def fit_levels(
    network: Mapping[str, Any], mask: MaskConfig, capture: CaptureConfig, family: Family
) -> tuple[MaskConfig, list[str]]:
    """The configuration with levels that the network has, and the changes, one line each.

    Families that are `fitted` get the nearest levels, of two that are equally near the finer one. Raises UserError if
    the network has no attention in the captured layers, and for a level that it lacks in a family that is not fitted.

    network: its config.json. If it is not known, or a UNet's does not name its blocks, nothing changes.
    """
    if not network or (family.network == "unet" and not {"down_block_types", "up_block_types"} <= set(network)):
        return mask, []
    layers, there = family.fit_layers(network, capture.layers), dict[LevelOption, list[int]]()
    found = {kind: family.levels(network, group) for kind, group in by_kind(layers).items()}
    for kind, option in _options(mask).items():
        if isinstance(option, str):  # one may set the levels of both kinds
            there[option] = [level for level in found[kind] if level in there.get(option, found[kind])]
    if family.fitted and not all([*there.values(), *found.values()]):
        raise UserError("capture.layers", f"{layers}: the model has no attention there")
    fitted, notes = dict[str, Any](), list[str]()
    if layers != capture.layers:
        notes.append(f"layers = {capture.layers}: this model does not distinguish these layers; all are read")
    for option, has in there.items():
        levels = _levels(mask, option)
        listed, missing = ",".join(map(str, levels)), [level for level in levels if level not in has]
        if missing and not family.fitted:
            of = "" if capture.layers == "all" else f" in its {capture.layers} layers"
            problem = f"{listed}: the model has no attention at L/{missing[0]}{of}"
            raise UserError(f"mask.{option}", problem, f"levels there: {', '.join(map(str, has)) or 'none'}")
        near = {min(has, key=lambda other: (abs(log2(other / level)), other)) for level in levels}
        nearest = tuple(sorted(near, reverse=True))
        if nearest != levels and family.fitted:
            fitted[option] = nearest if option == "expand_levels" else nearest[0]
            wanted, closest = (", ".join(level_name(level) for level in some) for some in (levels, nearest))
            notes.append(f"{option} = {listed} ({wanted}): the nearest that the model has is {closest}")
    return replace(mask, **fitted), notes


def level_name(divisor: int) -> str:
    """1 → `L`, 4 → `L/4`."""
    return "L" if divisor == 1 else f"L/{divisor}"
