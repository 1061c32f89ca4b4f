"""`Packed`: what FLUX.1 and its successors have in common. Their latents are packed: 2 × 2 latents are one position.
The network is told the row and column of each position, from which the sides of pictures follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ...errors import UserError
from ..hooks import NetworkInputs
from .family import FlowMatching, Tensor
from .inputs import CallShape, latents_of, state_columns

PACKED = 2
"""Latents per side of a position."""


@dataclass(frozen=True)
class Packed(FlowMatching):
    """Families whose latents are packed."""

    patch: int = PACKED

    def pictures(self, inputs: NetworkInputs) -> tuple[tuple[int, int], ...]:
        """(height, width) of each picture that a network call is given, in positions; first the one that it draws."""
        return packed_pictures(inputs[self.places_input], latents_of(inputs).shape[1])

    def call_shape(self, network: Any, inputs: NetworkInputs) -> CallShape:
        (height, width), *shown = self.pictures(inputs)
        return CallShape(len(latents_of(inputs)), height, width, state_columns(inputs), shown=tuple(shown))

    def timestep_input(self, timestep: float) -> float:
        return timestep / self.NOISE_LEVELS

    def pack(self, latents: Tensor) -> Any:
        return pack(latents)[0]

    def unpack(self, predicted: Any, size: Sequence[int]) -> Tensor:
        return unpack(predicted, size[1] // PACKED, size[2] // PACKED)


@lru_cache(maxsize=16)
def packed_pictures(places: Tensor, count: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of each picture that a network is given; the first is the one that it draws. They are read once
    for all steps of a drawing, because reading waits for the GPU.

    places: (columns, numbers), or one of these for each row of the batch, of which the network reads the first. The
    numbers of a column are those of its picture, row and column, and perhaps a fourth, 0. Columns of pictures come
    last, row by row. count: how many columns pictures have. Raises UserError for places that are no such grids, and if
    another picture has the number of the drawn one, 0."""
    import torch

    row = places if places.ndim == 2 else places[0]
    columns = row[-count:].double().cpu()
    begins = columns[:, 1:3].eq(0).all(1).nonzero().flatten().tolist()
    sides: list[tuple[int, int]] = []
    for begin, end in pairwise([*begins, len(columns)]):
        picture = columns[begin:end]
        height, width = (picture[:, 1:3].amax(0).long() + 1).tolist()
        lines, across = (torch.arange(side, dtype=torch.float64, device="cpu") for side in (height, width))
        is_grid = torch.equal(picture[:, :3], torch.cartesian_prod(picture[0, :1], lines, across))
        is_drawn = begin == 0
        if not is_grid or picture[:, 3:].any() or is_drawn != (picture[0, 0] == 0):
            break
        sides.append((height, width))
    if not begins or begins[0] or len(sides) < len(begins) or len(columns) < count:
        problem = "is given places that do not say where each image ends"
        raise UserError("the network", problem, "number the rows and columns of each from 0, and the drawn one 0")
    return tuple(sides)


def pack(latents: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """(packed, (h, w)). packed: (B, h·w, C·2·2), where 2 × 2 latents are one position. latents: (B, C, 2h, 2w)."""
    height, width = (side // PACKED for side in latents.shape[-2:])
    blocks = latents.unflatten(3, (width, PACKED)).unflatten(2, (height, PACKED))  # (B, C, h, 2, w, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2), (height, width)


def unpack(packed: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`: (B, h·w, C·2·2) → (B, C, 2h, 2w)."""
    blocks = packed.unflatten(2, (-1, PACKED, PACKED)).unflatten(1, (height, width))  # (B, h, w, C, 2, 2)
    return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
