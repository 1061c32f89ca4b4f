"""Predicts the contents of a capture from the network's configuration alone. Loads nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config.constants import CaptureConfig
from ..config.levels import EVERYTHING, Reads, level_name
from ..files.messages import show_bytes
from ..models.families.base import Family, LayerKind
from ..models.groups import Kind, Layers, block_numbers, by_kind, normal_layers

ORDER: tuple[LayerKind, ...] = ("joint", "self", "cross")
PLAIN = CaptureConfig()
BYTES = 4
"""Bytes per number in a running map."""


@dataclass(frozen=True)
class Expected:
    """layers: the number of layers of each kind. maps: (kind, level) → (rows, columns) of an image's running map. size: (height, width)
    of L. held: (kind, level) → the number of such maps; 1 if missing."""

    layers: Mapping[LayerKind, int]
    maps: Mapping[tuple[str, int], tuple[int, int]]
    size: tuple[int, int]
    held: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def map_bytes(self) -> int:
        """Bytes of one image's running maps. Independent of the number of steps, and of layers unless their mean is geometric."""
        return BYTES * sum(rows * columns * self.held.get(where, 1) for where, (rows, columns) in self.maps.items())

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} layer{'s' * (count > 1)} of {_called(kind)}" for kind, count in self.layers.items())
        height, width = self.size
        return f"{kinds}{self._where()} of {width}×{height}; maps of {show_bytes(self.map_bytes)} an image"

    def _where(self) -> str:
        """The levels as text; written once if both kinds have the same levels."""
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
    capture: CaptureConfig = PLAIN,
    reads: Reads = EVERYTHING,
) -> Expected | None:
    """The expected capture for a network with this config.json and a lattice L of `size`; None if the configuration does not say enough.
    reads: see `capture_attention`."""
    layers: Counter[LayerKind] = Counter()
    maps, counts = {}, {}
    try:
        both = by_kind(family.fit_layers(config, capture.layers))
        groups: dict[Kind, Layers] = {kind: both[kind] for kind in reads}
        blocks = all(block_numbers(fitted) is not None for fitted in groups.values())
        either = normal_layers(",".join(groups.values())) if groups and blocks else "all"
        layers["joint"] = family.layer_counts(config, either).get("joint", 0)
        for kind, fitted in groups.items():
            there = family.layer_counts(config, fitted)
            layers[kind] = there.get(kind, 0)
            at = reads[kind]
            levels = [level for level in family.levels(config, fitted) if at is None or level in at]
            for level in levels if there.get(kind) or there.get("joint") else ():
                rows = -(-size[0] // level) * -(-size[1] // level)
                maps[kind, level] = rows, rows if kind == "self" else family.columns(pipeline)
                at_level = family.layer_counts(config, fitted, level)
                by_layer = at_level.get(kind, 0) + at_level.get("joint", 0)
                counts[kind, level] = 1 + by_layer if kind == "cross" and capture.mean == "geometric" else 1  # else only the mean is held
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    maps = dict(sorted(maps.items(), key=lambda item: item[0][1]))  # the finest level first
    return Expected({kind: layers[kind] for kind in ORDER if layers[kind]}, maps, size, counts)


def _called(kind: LayerKind) -> str:
    return "joint attention" if kind == "joint" else f"{kind}-attention"


def memory_bytes() -> int | None:
    """The computer's memory in bytes; None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None
