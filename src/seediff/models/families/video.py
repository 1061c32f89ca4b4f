"""Families that draw clips: AnimateDiff, Wan, CogVideoX and LTX. No command draws clips; scripts use these families
with `capture`.

Each latent frame is captured like an image, which attends to its own positions and to the text. Attention between
frames is not captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import UserError
from ..layers import TEXT_FIRST, Layer
from .family import Family, PartConfig
from .inputs import NetworkInputs, latents_of
from .readers import Reader
from .unet import SD


class Wan(Family):
    def patch_of(self, config: PartConfig) -> int:
        return config["patch_size"][-1]  # (1, 2, 2)

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean

        return (Reader("tokenizer", pipe.tokenizer, self.text_columns, convert=prompt_clean),)


class Ltx(Family):
    def frames(self, inputs: NetworkInputs) -> int:
        return inputs["num_frames"]

    def lattice(self, network: Any, inputs: NetworkInputs) -> tuple[int, int, int]:
        return len(latents_of(inputs)), inputs["height"], inputs["width"]  # latents are packed


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
    attention="attn1",
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
