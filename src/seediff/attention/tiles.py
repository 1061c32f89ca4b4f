"""Which tile of a layer's scores one program of a kernel computes at once: it depends on the card and on the head's
channels."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch

from .probabilities import Scores


class Tile(NamedTuple):
    """The sizes of a tile: the part of the N × T scores that one program computes at once."""

    rows: int
    """The number of queries."""
    columns: int
    """The number of keys."""
    warps: int
    """The number of warps that work on the tile."""
    stages: int = 2
    """The number of key tiles that are loaded at once."""

    def memory(self, width: int) -> int:
        """Bytes of the tile's queries and keys in half precision. width: channels per head."""
        return (self.rows + self.stages * self.columns) * width * 2


TILES_OF_HOPPER = [(64, Tile(64, 128, 4, 3)), (128, Tile(128, 64, 4, 2))]
"""(maximum channels per head, tile): the fastest of eight tiles on an H200 in half precision (benchmarks/gpu.py)."""
WIDE_TILE = Tile(64, 128, 8)
"""The tile for up to 128 channels per head on cards of capability 12, and for more than 64 with a bias on Hopper's.
There it compiles to no spilled registers, and other tiles to 270 to 760 bytes a thread. It has not run on such a
card."""
TILES = [Tile(*tile) for tile in ((128, 128, 8), (128, 64, 4), (64, 64, 4), (64, 32, 4), (32, 32, 2), (16, 16, 1))]
"""The tiles of other cards, the largest first."""
SPARE_OF_HOPPER = 1.7
"""Shared memory to expect of a compiled tile on cards with wgmma (capabilities 9 and 10), as a multiple of
`Tile.memory`. The largest measured multiple is 1.5. On other cards, it is below 1."""


class Card(NamedTuple):
    """The facts about a GPU that decide which tile it gets."""

    capability: tuple[int, int]
    shared: int
    """Maximum bytes of shared memory of a block of threads."""


@lru_cache
def card_of(device: torch.device) -> Card:
    """The facts about a device's card. For a CPU, on which Triton interprets the kernels, they are made up."""
    if device.type != "cuda":
        return Card((8, 0), 96 << 10)
    properties = torch.cuda.get_device_properties(device)
    sizes = (getattr(properties, f"shared_memory_per_block{suffix}", 0) for suffix in ("_optin", ""))
    shared = next((int(size) for size in sizes if size), 48 << 10)
    return Card((properties.major, properties.minor), shared)


def choose_tile(width: int, card: Card, *, has_bias: bool = False) -> Tile:
    """The best tile that fits a card's memory. width: channels per head, a power of two. has_bias: whether scores have
    a bias."""
    generation, _ = card.capability
    hopper = generation in (9, 10)
    spare = SPARE_OF_HOPPER if hopper else 1.0
    best = [tile for most, tile in TILES_OF_HOPPER if hopper and width <= most]
    if width <= 128 and (generation == 12 or (hopper and has_bias and width > 64)):
        best = [WIDE_TILE]
    best += [tile for tile in TILES if spare * tile.memory(width) <= card.shared]
    return (best or TILES[-1:])[0]


def tile_of(scores: Scores) -> Tile:
    """The tile for a layer's scores."""
    query = scores.query
    return choose_tile(padded_width(query.shape[3]), card_of(query.device), has_bias=scores.bias is not None)


def padded_width(width: int) -> int:
    """A tile's number of channels: the next power of two from `width`, the head's channels; at least 16."""
    return max(16, 1 << (width - 1).bit_length())
