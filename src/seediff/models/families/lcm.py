"""Latent consistency models: Stable Diffusion 1's UNet, distilled to a few steps. It takes the guidance scale as an
input and predicts once per step, so no negative prompt is read. The scheduler chooses its steps from those of the
distillation."""

from __future__ import annotations

from typing import Any

from .family import DrawRequest
from .unet import SD, UNet


class Consistency(UNet):
    def calls(self, pipe: Any, steps: int) -> int:
        """Sets the scheduler's steps as the pipeline does."""
        pipe.scheduler.set_timesteps(steps, original_inference_steps=None)
        return len(pipe.scheduler.timesteps)

    def call(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """The network's input is the scale − 1, and a negative input would lead away from the prompt: the scale is at
        least 1.
        """
        return {**super().call(pipe, drawing), "guidance_scale": max(drawing.guidance_scale, 1.0)}


OWN = {"title": "LCM", "pipelines": ("LatentConsistencyModelPipeline",), "fitted": True, "distilled": True}
LCM = Consistency(**vars(SD) | OWN | {"steps": 4, "guidance_scale": 8.5, "measured": ""})
