"""Chroma: FLUX.1's blocks with T5's text alone, and without the guidance input: the network predicts in two calls
instead.

All of the text's padding except its first token is meant to be hidden. But the mask consists of numbers that are added
to the scores, 1 for visible columns and 0 for padding, so that padding keeps e⁻¹ of the weight that it would have
without a mask. diffusers 0.42 does this, and the maps show the attention that made the picture. A boolean mask hides
padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .base import T5, T5_TOKENIZER, Condition, Family, Reader
from .flux import FLUX, T5_TOKENS, Flux, pack, positions, unpack

if TYPE_CHECKING:
    import torch


class ChromaFamily(Flux):
    def unguided(self, config: Mapping[str, Any], name: str) -> bool:
        return Family.unguided(self, config, name)

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        return guidance_scale > 1

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (Reader("tokenizer", pipe.tokenizer, T5_TOKENS),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        states, _, mask, *_ = pipe.encode_prompt(list(prompts), device=device, do_classifier_free_guidance=False)
        return {"encoder_hidden_states": states, "attention_mask": mask}

    def denoise(self, pipe: Any, latents: torch.Tensor, timestep: int, condition: Condition) -> torch.Tensor:
        import torch

        states, mask = condition["encoder_hidden_states"], condition["attention_mask"]
        packed, (height, width) = pack(latents)
        predicted = pipe.transformer(
            hidden_states=packed,
            timestep=latents.new_full((len(latents),), timestep / self.LEVELS),
            encoder_hidden_states=states,
            txt_ids=latents.new_zeros(states.shape[1], 3),
            img_ids=positions(latents, height, width),
            attention_mask=torch.cat([mask, mask.new_ones(len(mask), packed.shape[1])], 1),
            return_dict=False,
        )[0]
        return unpack(predicted, height, width)


CHROMA = ChromaFamily(
    title="Chroma",
    pipelines=("ChromaPipeline",),
    class_name="ChromaTransformer2DModel",
    streams={name: replace(layer, mask="attention_mask") for name, layer in FLUX.streams.items()},
    depth=FLUX.depth,
    text_columns=FLUX.text_columns,
    latent_side=FLUX.latent_side,
    steps=35,
    guidance_scale=5.0,
    conditional="first call",
    loading={"feature_extractor": None, "image_encoder": None},
    text={"text_encoder": T5, "tokenizer": T5_TOKENIZER},
)
