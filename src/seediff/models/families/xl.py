"""SDXL: a UNet without attention at level L, whose inputs are two text encoders' states, one pooled state, and the
picture's size.

Tokens of both tokenizers share columns: the states are concatenated in channels. The tokenizers have the same
vocabulary and differ only in their padding, so words have the same columns in both; still, both are searched.
"""

from __future__ import annotations

from typing import Any

from .family import Condition, DrawRequest, Tensor
from .readers import Reader
from .unet import UNet, clip_reader


class XL(UNet):
    """SDXL base, and models with its pipeline class: Turbo, Lightning, SSD-1B."""

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """Without a negative prompt, the pipeline is given None. It then compares with zeros instead of the empty
        prompt."""
        arguments = super().pipeline_arguments(pipe, drawing)
        return arguments if drawing.negative_prompt else {**arguments, "negative_prompt": None}

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        parts = [part for part in ("tokenizer", "tokenizer_2") if getattr(pipe, part) is not None]
        return tuple(clip_reader(pipe, part) for part in parts)  # a refiner lacks the first

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        """Encodes in float32 if the autoencoder would overflow in half precision, as the pipeline does when it
        decodes."""
        import torch

        kind = pixels.dtype
        if kind != torch.float16 or not pipe.vae.config.force_upcast:
            return super().latents(pipe, pixels)
        pipe.vae.to(torch.float32)
        try:
            return super().latents(pipe, pixels.float()).to(kind)
        finally:
            pipe.vae.to(kind)

    def denoise(self, pipe: Any, latents: Tensor, timestep: float, condition: Condition) -> Tensor:
        """The size inputs describe an uncropped picture of this size."""
        height, width = (pipe.vae_scale_factor * side for side in latents.shape[-2:])
        sizes = latents.new_tensor([[height, width, 0, 0, height, width]]).repeat(len(latents), 1)
        added = {"text_embeds": condition["text_embeds"], "time_ids": sizes}
        given = {"encoder_hidden_states": condition["encoder_hidden_states"], "added_cond_kwargs": added}
        return super().denoise(pipe, latents, timestep, given)


SDXL = XL(
    title="SDXL",
    pipelines=("StableDiffusionXLPipeline",),
    network_part="unet",
    class_name="UNet2DConditionModel",
    steps=50,
    guidance_scale=5.0,
    inputs_of_text=("encoder_hidden_states", "", "text_embeds"),
)
