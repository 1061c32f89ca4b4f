"""Which of a network's layers of attention count: all, a part of a UNet, or blocks of a transformer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import UserError

Layers = str
"""all; up or down, a side of a UNet; last, the last layer of each block on its way up; or numbers of a transformer's blocks from 0, such as
9-12 or 0,3,8-11."""
SIDES = ("all", "up", "down", "last")
MOST_BLOCKS = 200


def block_numbers(layers: Layers) -> frozenset[int] | None:
    """The numbers of blocks; None for `SIDES`. Raises UserError for what is neither."""
    if layers in SIDES:
        return None
    numbers: set[int] = set()
    for part in layers.split(",") if isinstance(layers, str) else [""]:
        span = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part, re.ASCII)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if first > last or last >= MOST_BLOCKS:
            choices = "'all', 'up', 'down' or 'last' of a UNet, or blocks of a transformer, as 9-12 or 0,3,8-11"
            raise UserError(f"layers = {layers!r} must be {choices}")
        numbers |= set(range(first, last + 1))
    return frozenset(numbers)


def normal_layers(layers: Layers) -> Layers:
    """The one spelling of a choice: `12,9-11` → `9-12`. Raises UserError for what is none."""
    numbers = block_numbers(layers)
    if numbers is None:
        return layers
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def layers_name(layers: Layers) -> str:
    """For people: `all layers`, `up layers`, `last up layers`, `blocks 9-12`."""
    if layers == "last":
        return "last up layers"
    if layers in SIDES:
        return f"{layers} layers"
    return f"block {layers}" if layers.isdecimal() else f"blocks {layers}"


def block_count(config: Mapping[str, Any], name: str) -> int:
    """How many blocks a config.json says that there are. Raises KeyError where it does not, ValueError where it is no such number."""
    count = config[name]
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_BLOCKS:
        raise ValueError(f"{name} is not a number of blocks from 0 to {MOST_BLOCKS}")
    return count
