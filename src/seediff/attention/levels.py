"""Which levels of attention a mask method reads and which a UNet has, before anything is drawn. Level d is the side L / d."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..config.constants import CaptureConfig, MaskConfig
from ..config.methods import METHOD_FACTS
from ..errors import UserError


def levels_of(unet: Mapping[str, Any], layers: Literal["all", "up", "down"] = "all") -> tuple[int, ...]:
    """Divisors of L at which a UNet of this configuration (UNet2DConditionModel's config.json) has attention, finest first.

    Self- and cross-attention come in pairs, so that both have the same. "up" and "down" include the middle block.
    """
    down, up = list(unet["down_block_types"]), list(unet["up_block_types"])
    coarsest = 2 ** (len(down) - 1)
    found = {coarsest} if "CrossAttn" in (unet.get("mid_block_type", "UNetMidBlock2DCrossAttn") or "") else set()
    if layers != "up":
        found |= {2**i for i, block in enumerate(down) if "CrossAttn" in block}
    if layers != "down":
        found |= {coarsest // 2**i for i, block in enumerate(up) if "CrossAttn" in block}
    return tuple(sorted(found))


def levels_read(mask: MaskConfig) -> dict[str, tuple[int, ...]]:
    """The options that name levels, and the levels, of those that `mask.method` reads."""
    facts = METHOD_FACTS[mask.method]
    parallel = mask.expansion != "iterative"
    names = (facts.levels_in_parallel if parallel else None) or facts.levels
    values = {name: getattr(mask, name) for name in names}
    return {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}


def check_levels(unet: Mapping[str, Any], mask: MaskConfig, capture: CaptureConfig) -> None:
    """Raise UserError naming the option and the levels there are, when `mask.method` reads one that this UNet's capture does not give."""
    there = levels_of(unet, capture.layers)
    for option, levels in levels_read(mask).items():
        missing = [level for level in levels if level not in there]
        if missing:
            value = levels[0] if len(levels) == 1 and option != "expand_levels" else ",".join(map(str, levels))
            of = "" if capture.layers == "all" else f" in its {capture.layers} layers"
            levels_there = ", ".join(map(str, there)) or "none"
            raise UserError(f"{option} = {value}: the model has no attention at L/{missing[0]}{of}; levels there: {levels_there}")


def level_name(divisor: int) -> str:
    """1 → `L`, 4 → `L/4`."""
    return "L" if divisor == 1 else f"L/{divisor}"
