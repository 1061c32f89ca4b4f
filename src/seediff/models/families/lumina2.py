"""Lumina 2: one stream in which text and picture attend to each other, each picture directly after its own text.

If texts of a batch differ in length, masked padding comes last. The first blocks see the picture alone. A language
model reads the prompt after an instruction, and the unconditional prompt without it. Guidance takes two calls. The
network's input for the time is the share of picture instead of noise, and it predicts picture minus noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .family import Tensor
from .flow_matching import FlowMatching
from .inputs import NetworkInputs
from .layers import SELF, TEXT_FIRST
from .named import APACHE, NamedModel
from .readers import Reader, prefixed


class Lumina2(FlowMatching):
    def text_columns_of_call(self, inputs: NetworkInputs) -> int | None:
        return int(inputs["encoder_attention_mask"].sum(1).max())  # as the network, which waits for it, too

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        start = f"{pipe.system_prompt} <Prompt Start> "
        return (Reader("tokenizer", pipe.tokenizer, self.text_columns, wrap=partial(prefixed, start)),)

    def level(self, timestep: float) -> float:
        return 1 - timestep / self.LEVELS

    def unpack(self, predicted: Any, size: Sequence[int]) -> Tensor:
        return -super().unpack(predicted, size)


LUMINA2 = Lumina2(
    title="Lumina 2",
    named=(NamedModel("lumina2", "Alpha-VLLM/Lumina-Image-2.0", "1024²", 5.31, APACHE),),
    pipelines=("Lumina2Pipeline",),
    class_name="Lumina2Transformer2DModel",
    # The blocks of the context refiner see no picture.
    streams={"noise_refiner": SELF, "layers": replace(TEXT_FIRST, padding_last=True)},
    text_columns=256,
    side=0,
    steps=30,
    guidance_scale=4.0,
    where_prompt="first call",
    inputs_of_text=("encoder_hidden_states", "encoder_attention_mask"),
)
