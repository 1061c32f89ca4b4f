"""Latent consistency models: Stable Diffusion 1's UNet, distilled to a few steps. It is told the guidance and predicts once a step, so that
no negative prompt is read. The scheduler makes its steps from those of the distillation."""

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
        """Raise UserError for a UNet that cannot be told any, which the pipeline would try."""
        if config.get("time_cond_proj_dim") is None:
            raise UserError(
                f"model '{name}': its unet has no time_cond_proj_dim and cannot be told the guidance, as a LatentConsistencyModelPipeline "
                "does; save it as a StableDiffusionPipeline"
            )

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        return False

    def calls(self, pipe: Any, steps: int) -> int:
        """As the pipeline asks for them."""
        try:
            pipe.scheduler.set_timesteps(steps, original_inference_steps=None)
        except TypeError as error:
            raise ValueError("it has no steps of a distillation; use LCMScheduler") from error
        return len(pipe.scheduler.timesteps)

    def call(self, pipe: Any, drawing: Drawing) -> dict[str, Any]:
        """The network is told the scale less 1: below 1 it would be led away from the prompt."""
        arguments = super().call(pipe, drawing)
        del arguments["negative_prompt"]  # the pipeline has none
        return {**arguments, "guidance_scale": max(drawing.guidance_scale, 1.0)}


LCM = Consistency(
    title="LCM",
    pipelines=("LatentConsistencyModelPipeline",),
    network="unet",
    class_name="UNet2DConditionModel",
    weights=SD.weights,
    captured=SD.captured,
    guidance="told to the network",
    steps=4,
    guidance_scale=8.5,
    distilled=True,
    reads_embeddings=True,
    loading=SD.loading,
    text=SD.text,
)
