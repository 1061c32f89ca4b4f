"""What a capture will hold, from a network's configuration alone: nothing is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..config.levels import level_name
from ..files.space import show_bytes
from ..models.families.base import Family, LayerKind, Layers

BYTES = 4
"""Of a number in a running map."""


@dataclass(frozen=True)
class Expected:
    """layers: how many of each kind. maps: (kind, level) → (rows, columns) of an image's running map. size: (height, width) of L."""

    layers: Mapping[LayerKind, int]
    maps: Mapping[tuple[str, int], tuple[int, int]]
    size: tuple[int, int]

    @property
    def map_bytes(self) -> int:
        """Of one image's running maps, whatever the number of layers and steps."""
        return BYTES * sum(rows * columns for rows, columns in self.maps.values())

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} layer{'s' * (count > 1)} of {_called(kind)}" for kind, count in self.layers.items())
        levels = ", ".join(level_name(level) for level in sorted({level for _, level in self.maps}))
        height, width = self.size
        return f"{kinds}, at {levels} of {width}×{height}; maps of {show_bytes(self.map_bytes)} an image"


def expect_capture(
    family: Family,
    config: Mapping[str, Any],
    pipeline: str,
    size: tuple[int, int],
    group: Layers = "all",
    kinds: Collection[Literal["self", "cross"]] = ("self", "cross"),
) -> Expected | None:
    """Of a network with this config.json on a lattice L of `size`; None where the configuration does not say. kinds: what is recorded."""
    own: Layers = group if group in family.groups else "all"
    try:
        layers: dict[LayerKind, int] = {
            kind: count for kind, count in family.layer_counts(config, own).items() if count and kind in {*kinds, "joint"}
        }
        levels = family.levels(config, own)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    maps = {}
    for level in levels:
        rows = -(-size[0] // level) * -(-size[1] // level)
        if "self" in kinds and {"self", "joint"} & set(layers):
            maps["self", level] = rows, rows
        if "cross" in kinds and {"cross", "joint"} & set(layers):
            maps["cross", level] = rows, family.columns(pipeline)
    return Expected(layers, maps, size)


def _called(kind: LayerKind) -> str:
    return "joint attention" if kind == "joint" else f"{kind}-attention"
