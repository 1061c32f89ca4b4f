"""AuraFlow and Pony V7: picture and text attend to each other, the text's columns first. The first blocks have two
streams, with weights of their own for picture and text; the other blocks have one.

Before the text's columns come eight learnt ones, the registers. The text is read by UMT5; its padding has states of 0,
but is not masked.
"""

from __future__ import annotations

from typing import Any

from .family import PartConfig
from .flow_matching import FlowMatching
from .inputs import NetworkInputs
from .layers import TEXT_FIRST
from .named import APACHE, NamedModel
from .readers import Reader

REGISTERS = 8
"""The number of learnt columns before the text's columns."""


class AuraFlow(FlowMatching):
    def largest(self, factor: int, config: PartConfig) -> int | None:
        return int(config["pos_embed_max_size"] ** 0.5) * self.multiple(factor, config)

    def text_columns_of_call(self, inputs: NetworkInputs) -> int | None:
        return REGISTERS + inputs["encoder_hidden_states"].shape[1]

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        tokenizer = pipe.tokenizer
        end = self.text_columns if tokenizer.padding_side == "left" else None
        return (Reader("tokenizer", tokenizer, self.text_columns - REGISTERS, first=REGISTERS, end=end),)

    def level(self, timestep: float) -> float:
        return timestep / self.LEVELS


AURA_FLOW = AuraFlow(
    title="AuraFlow",
    named=(NamedModel("auraflow", "fal/AuraFlow", "1024²", 8.15, APACHE),),
    pipelines=("AuraFlowPipeline",),
    class_name="AuraFlowTransformer2DModel",
    streams={"joint_transformer_blocks": TEXT_FIRST, "single_transformer_blocks": TEXT_FIRST},
    scales=("scaling_factor",),
    gives_sigmas=False,
    text_columns=REGISTERS + 256,
    steps=50,
    guidance_scale=3.5,
)
