"""Levels of attention that a mask method reads, and the nearest that a network has. Level d has the side L / d of the
latent's side L.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from math import log2
from typing import Any

from ..errors import UserError
from ..models.families.family import Family, Layer
from ..models.groups import KINDS, SIDES, Kind, LayerChoice, by_kind
from .constants import MaskConfig
from .methods import LevelOption, Levels

Reads = Mapping[Kind, Collection[int] | None]
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


def _options(mask: MaskConfig) -> dict[Kind, LevelOption | tuple[int, ...]]:
    """For each kind of attention that the method is known to read: the option that sets its levels, or the fixed
    levels."""
    levels = mask.facts.levels or Levels()
    cross, own = levels.cross, levels.self
    if "expansion" in mask.facts.options and mask.expansion != "iterative":
        cross = "expand_levels"  # each level has its own seeds, or nothing is expanded
        own = own if mask.expansion == "parallel" or mask.background else None
    kinds: tuple[tuple[Kind, LevelOption | tuple[int, ...] | None], ...]
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


def fit_mask(
    family: Family, network: Mapping[str, Layer], mask: MaskConfig, layers: LayerChoice
) -> tuple[MaskConfig, list[str]]:
    """`fit_levels` for a network with these layers, of which a capture reads the groups `layers`. A note says if the
    network does not distinguish these. Raises UserError for layers and levels that are not there."""
    chosen = family.choose(network, layers)
    there: dict[Kind, set[int]] = {kind: {layer.level for layer in chosen[kind].values()} for kind in KINDS}
    mask, notes = fit_levels(there, mask, layers, fitted=family.fitted)
    if family.network != "unet" and not {*SIDES[1:]}.isdisjoint(by_kind(layers).values()):
        notes.insert(0, f"layers = {layers}: this model does not distinguish these layers; all are read")
    return mask, notes


def fit_levels(
    there: Mapping[Kind, Collection[int]], mask: MaskConfig, layers: LayerChoice = "all", *, fitted: bool
) -> tuple[MaskConfig, list[str]]:
    """The configuration with levels that a network has, and the changes, one line each.

    there: kind of attention → the levels that the captured layers have. layers: their group, for messages. fitted:
    whether the nearest level replaces one that is missing, of two that are equally near the finer one; otherwise a
    missing level raises UserError. So does a kind of attention that is nowhere.
    """
    has: dict[LevelOption, list[int]] = {}
    for kind, option in _options(mask).items():
        if isinstance(option, str):  # one may set the levels of both kinds
            has[option] = [level for level in sorted(there[kind]) if level in has.get(option, there[kind])]
    if fitted and not all(has.values()):
        raise UserError("capture.layers", f"{layers}: the model has no attention there")
    changed, notes = dict[str, Any](), list[str]()
    for option, levels_there in has.items():
        levels = _levels(mask, option)
        listed, missing = ",".join(map(str, levels)), [level for level in levels if level not in levels_there]
        if missing and not fitted:
            of = "" if layers == "all" else f" in its {layers} layers"
            problem = f"{listed}: the model has no attention at L/{missing[0]}{of}"
            fix = f"levels there: {', '.join(map(str, levels_there)) or 'none'}"
            raise UserError(f"mask.{option}", problem, fix)
        near = {min(levels_there, key=lambda other: (abs(log2(other / level)), other)) for level in levels}
        nearest = tuple(sorted(near, reverse=True))
        if nearest != levels and fitted:
            changed[option] = nearest if option == "expand_levels" else nearest[0]
            wanted, closest = (", ".join(level_name(level) for level in some) for some in (levels, nearest))
            notes.append(f"{option} = {listed} ({wanted}): the nearest that the model has is {closest}")
    return replace(mask, **changed), notes


def level_name(divisor: int) -> str:
    """1 → `L`, 4 → `L/4`."""
    return "L" if divisor == 1 else f"L/{divisor}"
