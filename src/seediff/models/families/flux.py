"""FLUX.1 and Chroma: picture and text attend to each other, the text's columns first. The first blocks have two
streams, with weights of their own for picture and text; the other blocks have one.

FLUX.1's text columns are T5's tokens. Of CLIP it uses only a pooled state, so CLIP's tokens have no columns, and CLIP
may read less than the whole prompt. Latents are packed: a position is 2 × 2 latents. In FLUX.1 dev the guidance scale
is an input of the network; schnell has no guidance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...errors import UserError
from .family import Condition, Family, FlowMatching, PartConfig, Tensor
from .inputs import NetworkInputs, latents_of
from .layers import TEXT_FIRST
from .named import APACHE, NamedModel
from .readers import Reader

FLUX_TENSOR = "double_blocks.0.img_attn.qkv.weight"
"""A tensor of every single file of FLUX.1, FLUX.2 and Chroma."""
PACKED = 2
"""Latents per side of a position."""
PHOTO_GUIDANCE = 1.0
"""The network's input for the guidance scale, for photographs: no guidance."""


class Packed(FlowMatching):
    """Families whose latents are packed: 2 × 2 latents are one position."""

    def patch_of(self, config: PartConfig) -> int:
        return PACKED

    def inputs(self, pipe: Any, latents: Tensor, size: tuple[int, int], condition: Condition) -> dict[str, Any]:
        """The network's inputs besides `condition`, the noise level and the packed latents.

        latents: (B, C, h, w), not packed. size: (height, width) in positions. condition: from `encode`."""
        raise NotImplementedError

    def denoise(self, pipe: Any, latents: Tensor, timestep: float, condition: Condition) -> Tensor:
        packed, size = pack(latents)
        level = latents.new_full((len(latents),), timestep / self.LEVELS)
        inputs = {**condition, **self.inputs(pipe, latents, size, condition)}
        return unpack(pipe.transformer(hidden_states=packed, timestep=level, **inputs, return_dict=False)[0], *size)


class Flux(Packed):
    def lattice(self, network: Any, inputs: NetworkInputs) -> tuple[int, int, int]:
        return packed_lattice(inputs, "img_ids")

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (
            Reader("tokenizer_2", pipe.tokenizer_2, self.text_columns),
            Reader("tokenizer", pipe.tokenizer, pipe.tokenizer_max_length, first=None),
        )

    def inputs(self, pipe: Any, latents: Tensor, size: tuple[int, int], condition: Condition) -> dict[str, Any]:
        embeds = pipe.transformer.config.guidance_embeds
        guidance = latents.new_full((len(latents),), PHOTO_GUIDANCE) if embeds else None
        return {"guidance": guidance, **ids(latents, size, condition)}


def packed_lattice(inputs: NetworkInputs, positions: str) -> tuple[int, int, int]:
    """(B, height, width), as in `Family.lattice`, for packed latents.

    positions: the name of the input with the place of each column. In it the picture's columns come last, row by row.
    Raises UserError if the network is given another picture in addition to the one that it draws."""
    batch, count, _ = latents_of(inputs).shape
    _, row, column = last_position(inputs[positions])  # the number of positions alone does not give height and width
    height, width = row + 1, column + 1
    if height * width != count:
        raise UserError(
            f"the network was given {count} positions, but its picture has {height} × {width}: the others are of a "
            "reference picture, as in Kontext, and attention to them cannot be separated"
        )
    return batch, height, width


@lru_cache(maxsize=1)
def last_position(positions: Tensor) -> list[int]:
    """The numbers of the last column's place, such as 0, row, column. They are read once for all steps of a drawing,
    because reading waits for the GPU. positions: (…, columns, numbers)."""
    return [int(number) for number in positions.flatten(0, -2)[-1].tolist()]


def pack(latents: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """(packed, (h, w)). packed: (B, h·w, C·2·2), where 2 × 2 latents are one position. latents: (B, C, 2h, 2w)."""
    height, width = (side // PACKED for side in latents.shape[-2:])
    blocks = latents.unflatten(3, (width, PACKED)).unflatten(2, (height, PACKED))  # (B, C, h, 2, w, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2), (height, width)


def unpack(packed: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pack`: (B, h·w, C·2·2) → (B, C, 2h, 2w)."""
    blocks = packed.unflatten(2, (-1, PACKED, PACKED)).unflatten(1, (height, width))  # (B, h, w, C, 2, 2)
    return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def ids(latents: Tensor, size: tuple[int, int], condition: Condition) -> dict[str, Tensor]:
    """The inputs with the place of each column: `txt_ids`, (T, 3), all 0, and `img_ids`, (h·w, 3): 0, row, column.
    latents: for device and number format. size: (h, w). condition: has the text's columns."""
    import torch

    image = torch.cartesian_prod(*(latents.new_tensor(range(side)) for side in (1, *size)))
    return {"txt_ids": latents.new_zeros(condition["encoder_hidden_states"].shape[1], 3), "img_ids": image}


FLUX = Flux(
    title="FLUX.1",
    named=(
        NamedModel(
            "flux-dev",
            "black-forest-labs/FLUX.1-dev",
            "1024²",
            16.87,
            "FLUX.1 [dev] Non-Commercial, to be accepted on the hub",
        ),
        NamedModel(
            "flux-schnell",
            "black-forest-labs/FLUX.1-schnell",
            "1024², few steps",
            16.86,
            f"{APACHE}, to be accepted on the hub",
        ),
    ),
    single_files={(FLUX_TENSOR,): ("flux-schnell",), (FLUX_TENSOR, "guidance_in.in_layer.weight"): ("flux-dev",)},
    pipelines=("FluxPipeline",),
    class_name="FluxTransformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST, "single_transformer_blocks": TEXT_FIRST},
    steps=28,
    guidance_scale=3.5,
    distilled=True,
    where_prompt="first call",  # with `true_cfg_scale`, which only scripts use
    inputs_of_text=("encoder_hidden_states", "pooled_projections"),
)


class ChromaFamily(Flux):
    """Chroma: FLUX.1's blocks with T5's text alone. The guidance scale is no input; the network predicts in two calls.

    A mask is meant to hide the text's padding except its first token. But diffusers 0.42 adds this mask to the scores,
    1 for visible columns and 0 for padding, so padding keeps e⁻¹ of the weight that it would have without a mask. The
    maps show this attention, because it made the picture. A boolean mask hides padding.
    """

    readers = Family.readers

    def inputs(self, pipe: Any, latents: Tensor, size: tuple[int, int], condition: Condition) -> dict[str, Any]:
        import torch

        mask = condition["attention_mask"]
        whole = torch.cat([mask, mask.new_ones(len(mask), size[0] * size[1])], 1)
        return {"attention_mask": whole, **ids(latents, size, condition)}


CHROMA = ChromaFamily(
    title="Chroma",
    named=(NamedModel("chroma", "lodestones/Chroma1-HD", "1024²", 13.75, APACHE, steps=40, guidance_scale=3.0),),
    single_files={(FLUX_TENSOR, "distilled_guidance_layer.in_proj.weight"): ("chroma",)},
    pipelines=("ChromaPipeline",),
    class_name="ChromaTransformer2DModel",
    streams=FLUX.streams,
    steps=35,
    guidance_scale=5.0,
    where_prompt="first call",
    inputs_of_text=("encoder_hidden_states", "", "attention_mask"),
)
