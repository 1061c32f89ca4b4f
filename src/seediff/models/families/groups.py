"""Which of a network's layers of attention count: all, a side of a UNet, or blocks of a transformer."""

from __future__ import annotations

import re

from ...errors import UserError

Layers = str
"""all; up or down, a side of a UNet; or numbers of a transformer's blocks from 0, such as 9-12 or 0,3,8-11."""
SIDES = ("all", "up", "down")
MOST_BLOCKS = 200


def block_numbers(layers: Layers) -> frozenset[int] | None:
    """The numbers of blocks; None for `SIDES`. Raises UserError for what is neither."""
    if layers in SIDES:
        return None
    found: set[int] = set()
    for part in layers.split(",") if isinstance(layers, str) else [""]:
        said = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part, re.ASCII)
        first, last = (int(said[1]), int(said[2] or said[1])) if said else (1, 0)
        if first > last or last >= MOST_BLOCKS:
            raise UserError(f"layers = {layers!r} must be 'all', 'up' or 'down' of a UNet, or blocks of a transformer, as 9-12 or 0,3,8-11")
        found |= set(range(first, last + 1))
    return frozenset(found)


def layers_name(layers: Layers) -> str:
    """For people: `all layers`, `up layers`, `blocks 9-12`."""
    return f"{layers} layers" if layers in SIDES else f"blocks {layers}"
