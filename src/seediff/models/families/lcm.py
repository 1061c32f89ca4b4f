"""Latent consistency models: Stable Diffusion 1's UNet, distilled to a few steps. It takes the guidance scale as an
input and predicts once per step, so no negative prompt is read. The scheduler chooses its steps from those of the
distillation."""

from __future__ import annotations

from typing import Any

from .family import DrawRequest
from .unet import UNet


class Consistency(UNet):
    def count_predictions(self, pipe: Any, steps: int) -> int:
        """Passes on the pipeline's default for the steps of the distillation."""
        pipe.scheduler.set_timesteps(steps, original_inference_steps=None)
        return len(pipe.scheduler.timesteps)

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """Makes the scale at least 1: the network's input is the scale − 1, and a negative input would lead away from
        the prompt."""
        return {**super().pipeline_arguments(pipe, drawing), "guidance_scale": max(drawing.guidance_scale, 1.0)}


LCM = Consistency(
    title="LCM",
    pipelines=("LatentConsistencyModelPipeline",),
    network_part="unet",
    class_name="UNet2DConditionModel",
    steps=4,
    guidance_scale=8.5,
    distilled=True,
)
