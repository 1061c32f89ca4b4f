"""FLUX.1 and Chroma: picture and text attend to each other, the text's columns first. The first blocks have two
streams, with weights of their own for picture and text; the other blocks have one.

FLUX.1's text columns are T5's tokens. Of CLIP it uses only a pooled state, so CLIP's tokens have no columns, and CLIP
may read less than the prompt. In FLUX.1 dev the guidance scale is an input of the network; schnell has no guidance.
"""

from __future__ import annotations

from typing import Any

from ..layers import TEXT_FIRST
from .packed import Packed
from .readers import Reader

FLUX_TENSOR = "double_blocks.0.img_attn.qkv.weight"


class Flux(Packed):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (
            Reader("tokenizer_2", pipe.tokenizer_2, self.text_columns),
            Reader("tokenizer", pipe.tokenizer, pipe.tokenizer_max_length, first=None),
        )


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
