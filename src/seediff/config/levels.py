"""Levels of attention that a mask method reads. Level d has the side L / d of the latent's side L."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..models.groups import Kind
from .constants import MaskConfig
from .methods import LevelOption, Levels

Reads = Mapping[Kind, Collection[int] | None]
"""Kind of attention to capture → its levels d (sides L / d); None: all levels."""
EVERYTHING: Reads = {"self": None, "cross": None}


def maps_read(mask: MaskConfig) -> Reads:
    """Kind of attention → the levels that `mask.method` needs captured."""
    if mask.facts.levels is None:
        return EVERYTHING
    return {kind: levels_of(mask, option) for kind, option in level_options(mask).items()}


def reads_self_attention(mask: MaskConfig) -> bool:
    """Whether the method is known to need self-attention maps."""
    return "self" in level_options(mask)


def level_options(mask: MaskConfig) -> dict[Kind, LevelOption | tuple[int, ...]]:
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


def levels_of(mask: MaskConfig, option: LevelOption | tuple[int, ...]) -> tuple[int, ...]:
    """The levels of an option of `mask`, or the fixed levels."""
    value = getattr(mask, option) if isinstance(option, str) else option
    return value if isinstance(value, tuple) else (value,)


def level_name(divisor: int) -> str:
    """1 → `L`, 4 → `L/4`."""
    return "L" if divisor == 1 else f"L/{divisor}"
