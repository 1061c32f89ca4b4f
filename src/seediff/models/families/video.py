"""Families that draw clips: AnimateDiff, Wan, CogVideoX and LTX. No command draws clips; scripts use these families
with `capture`.

Each latent frame is captured like an image, which attends to its own positions and to the text. Attention between
frames is not captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import UserError
from ..hooks import NetworkInputs
from ..layers import TEXT_FIRST, Layer
from .family import Family
from .inputs import CallShape, Reader, latents_of, state_columns
from .unet import SD


class Wan(Family):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean

        return (Reader("tokenizer", pipe.tokenizer, self.text_columns, convert=prompt_clean),)


class Ltx(Family):
    def call_shape(self, network: Any, inputs: NetworkInputs) -> CallShape:
        """The sizes in a network call, whose latents are packed: a position is one latent."""
        height, width, frames = (inputs[name] for name in ("height", "width", "num_frames"))
        return CallShape(len(latents_of(inputs)), height, width, state_columns(inputs), frames)


class CogVideoX(Family):
    def layers(self, network: Any) -> dict[str, Layer]:
        if network.config.patch_size_t is not None:
            problem = "each of its positions covers several latent frames, which cannot be told apart"
            raise UserError("CogVideoX 1.5", problem, "use CogVideoX-2b or -5b")
        return super().layers(network)


ANIMATE_DIFF = replace(
    SD,
    title="AnimateDiff",
    pipelines=("AnimateDiffPipeline",),
    class_name="UNetMotionModel",
    frames_dimension=2,
    frames_in_rows=True,
)
WAN = Wan(
    title="Wan 2.1 and 2.2",
    pipelines=("WanPipeline",),
    class_name="WanTransformer3DModel",
    frames_dimension=2,
    text_columns=512,
)
COG_VIDEO_X = CogVideoX(
    title="CogVideoX",
    pipelines=("CogVideoXPipeline",),
    class_name="CogVideoXTransformer3DModel",
    streams={"transformer_blocks": TEXT_FIRST},
    attention_name="attn1",
    frames_dimension=1,
    text_columns=226,
)
LTX = Ltx(
    title="LTX-Video",
    pipelines=("LTXPipeline",),
    class_name="LTXVideoTransformer3DModel",
    frames_dimension=1,
    text_columns=128,
)
