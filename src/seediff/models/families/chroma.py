"""Chroma: FLUX.1's blocks with T5's text alone, and without the guidance input: the network predicts in two calls
instead.

All of the text's padding except its first token is meant to be hidden. But the mask consists of numbers that are added
to the scores, 1 for visible columns and 0 for padding, so that padding keeps e⁻¹ of the weight that it would have
without a mask. diffusers 0.42 does this, and the maps show the attention that made the picture. A boolean mask hides
padding.
"""

from __future__ import annotations

from typing import Any

from .family import Condition, Family, Tensor
from .flux import FLUX, Flux, ids


class ChromaFamily(Flux):
    readers = Family.readers

    def inputs(self, pipe: Any, latents: Tensor, size: tuple[int, int], condition: Condition) -> dict[str, Any]:
        import torch

        mask = condition["attention_mask"]
        whole = torch.cat([mask, mask.new_ones(len(mask), size[0] * size[1])], 1)
        return {"attention_mask": whole, **ids(latents, size, condition)}


CHROMA = ChromaFamily(
    title="Chroma",
    pipelines=("ChromaPipeline",),
    class_name="ChromaTransformer2DModel",
    streams=FLUX.streams,
    text_columns=FLUX.text_columns,
    side=1024,
    steps=35,
    guidance_scale=5.0,
    where_prompt="first call",
    can_graph=False,  # makes a tensor on the CPU in each call
    inputs_of_text=("encoder_hidden_states", "", "attention_mask"),
)
