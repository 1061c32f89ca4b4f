"""Latent consistency models: Stable Diffusion 1's UNet, distilled to a few steps. It takes the guidance scale as an
input and predicts once per step, so no negative prompt is read. The scheduler chooses its steps from those of the
distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UserError
from .base import Drawing
from .unet import SD, UNet


class Consistency(UNet):
    def unguided(self, config: Mapping[str, Any], name: str) -> bool:
        return False

    def check_guidance(self, config: Mapping[str, Any], name: str, guidance_scale: float) -> None:
        """Raise UserError for a UNet without a guidance input, which the pipeline needs."""
        if config.get("time_cond_proj_dim") is None:
            raise UserError(
                f"model '{name}': its unet has no time_cond_proj_dim and cannot be told the guidance, as a"
                " LatentConsistencyModelPipeline does; save it as a StableDiffusionPipeline"
            )

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        return False

    def calls(self, pipe: Any, steps: int) -> int:
        """Sets the scheduler's steps as the pipeline does."""
        try:
            pipe.scheduler.set_timesteps(steps, original_inference_steps=None)
        except TypeError as error:
            raise ValueError("it has no steps of a distillation; use LCMScheduler") from error
        return len(pipe.scheduler.timesteps)

    def call(self, pipe: Any, drawing: Drawing) -> dict[str, Any]:
        """The network's input is the scale − 1, and a negative input would lead away from the prompt: the scale is at
        least 1.
        """
        arguments = super().call(pipe, drawing)
        del arguments["negative_prompt"]  # the pipeline has none
        return {**arguments, "guidance_scale": max(drawing.guidance_scale, 1.0)}


LCM = Consistency(
    title="LCM",
    pipelines=("LatentConsistencyModelPipeline",),
    network="unet",
    class_name="UNet2DConditionModel",
    weights=SD.weights,
    steps=4,
    guidance_scale=8.5,
    distilled=True,
    reads_embeddings=True,
    loading=SD.loading,
    text=SD.text,
)
