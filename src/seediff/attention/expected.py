"""Predicts the contents of a capture from the network's configuration alone. Loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config.levels import EVERYTHING, Reads, level_name
from ..files.messages import show_bytes
from ..models.families.base import Family, LayerKind
from ..models.groups import Layers

ORDER: tuple[LayerKind, ...] = ("joint", "self", "cross")
BYTES = 4
"""Bytes per number in a running map."""


@dataclass(frozen=True)
class Expected:
    """layers: the number of layers of each kind. maps: (kind, level) → (rows, columns) of an image's running map. size: (height, width)
    of L."""

    layers: Mapping[LayerKind, int]
    maps: Mapping[tuple[str, int], tuple[int, int]]
    size: tuple[int, int]

    @property
    def map_bytes(self) -> int:
        """Bytes of one image's running maps. Does not depend on the number of layers and steps."""
        return BYTES * sum(rows * columns for rows, columns in self.maps.values())

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} layer{'s' * (count > 1)} of {_called(kind)}" for kind, count in self.layers.items())
        height, width = self.size
        return f"{kinds}{self._where()} of {width}×{height}; maps of {show_bytes(self.map_bytes)} an image"

    def _where(self) -> str:
        """The levels as text; written once if both kinds have the same."""
        levels: dict[str, str] = {}
        for kind in dict.fromkeys(kind for kind, _ in self.maps):
            levels[kind] = ", ".join(level_name(level) for level in sorted(level for of, level in self.maps if of == kind))
        if len(set(levels.values())) == 1:
            return f", at {next(iter(levels.values()))}"
        return "; of these " + ", ".join(f"{kind}-attention at {names}" for kind, names in levels.items())


def expect_capture(
    family: Family,
    config: Mapping[str, Any],
    pipeline: str,
    size: tuple[int, int],
    group: Layers = "all",
    reads: Reads = EVERYTHING,
) -> Expected | None:
    """The expected capture for a network with this config.json, with lattice L of `size`; None if the configuration does not say. reads:
    see `capture_attention`."""
    try:
        fitted = family.fit_group(config, group)
        counts = family.layer_counts(config, fitted)
        layers: dict[LayerKind, int] = {kind: count for kind in ORDER if (count := counts.get(kind, 0)) and kind in {*reads, "joint"}}
        levels = family.levels(config, fitted)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    maps = {}
    for level in levels:
        rows = -(-size[0] // level) * -(-size[1] // level)
        for kind, at in reads.items():
            if (at is None or level in at) and {kind, "joint"} & set(layers):
                maps[kind, level] = rows, rows if kind == "self" else family.columns(pipeline)
    return Expected(layers, maps, size)


def _called(kind: LayerKind) -> str:
    return "joint attention" if kind == "joint" else f"{kind}-attention"
