"""FLUX.1 and Chroma: picture and text attend to each other, the text's columns first. The first blocks have two
streams, with weights of their own for picture and text; the other blocks have one.

FLUX.1's text columns are T5's tokens. Of CLIP it uses only a pooled state, so CLIP's tokens have no columns, and CLIP
may read less than the whole prompt. Latents are packed: a position is 2 × 2 latents. In FLUX.1 dev the guidance scale
is an input of the network; schnell has no guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ...errors import UserError
from ..layers import TEXT_FIRST
from .family import FlowMatching, PartConfig, Tensor
from .inputs import NetworkInputs, latents_of
from .readers import Reader

PACKED = 2
"""Latents per side of a position."""
FLUX_TENSOR = "double_blocks.0.img_attn.qkv.weight"


class Packed(FlowMatching):
    """Families whose latents are packed: 2 × 2 latents are one position."""

    def lattice(self, network: Any, inputs: NetworkInputs) -> tuple[int, int, int]:
        batch, count, _ = latents_of(inputs).shape
        return batch, *packed_pictures(inputs[self.places_input], count)[0]

    def shown(self, inputs: NetworkInputs) -> tuple[tuple[int, int], ...]:
        return packed_pictures(inputs[self.places_input], latents_of(inputs).shape[1])[1:]

    def patch_of(self, config: PartConfig) -> int:
        return PACKED

    def timestep_input(self, timestep: float) -> float:
        return timestep / self.LEVELS

    def pack(self, latents: Tensor) -> Any:
        return pack(latents)[0]

    def unpack(self, predicted: Any, size: Sequence[int]) -> Tensor:
        return unpack(predicted, size[1] // PACKED, size[2] // PACKED)


class Flux(Packed):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (
            Reader("tokenizer_2", pipe.tokenizer_2, self.text_columns),
            Reader("tokenizer", pipe.tokenizer, pipe.tokenizer_max_length, first=None),
        )


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
        lines, across = torch.arange(height).double(), torch.arange(width).double()
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


FLUX = Flux(
    title="FLUX.1",
    places_input="img_ids",
    single_files={(FLUX_TENSOR,): ("flux-schnell",), (FLUX_TENSOR, "guidance_in.in_layer.weight"): ("flux-dev",)},
    pipelines=("FluxPipeline",),
    class_name="FluxTransformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST, "single_transformer_blocks": TEXT_FIRST},
    embeds_guidance=True,
)


CHROMA = Packed(
    title="Chroma",
    places_input=FLUX.places_input,
    single_files={(FLUX_TENSOR, "distilled_guidance_layer.in_proj.weight"): ("chroma",)},
    pipelines=("ChromaPipeline",),
    class_name="ChromaTransformer2DModel",
    streams=FLUX.streams,
)
"""Chroma: FLUX.1's blocks with T5's text alone. The guidance scale is no input; the network predicts in two calls.

A mask is meant to hide the text's padding except its first token. But diffusers 0.42 adds this mask to the scores, 1
for visible columns and 0 for padding, so padding keeps e⁻¹ of the weight that it would have without a mask. The maps
show this attention, because it made the picture. A boolean mask hides padding."""
