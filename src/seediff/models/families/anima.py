"""Anima: the transformer of Cosmos-Predict2, with self-attention, and cross-attention to as many text columns as T5 has
tokens.

Qwen3 reads the prompt, and a small transformer gives each of T5's tokens a state made of Qwen3's. States of 0 follow up
to 512 columns; they are not masked. A picture is a clip of one frame. Guidance takes two calls. diffusers has a modular
pipeline alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import UserError
from .family import Condition, PartConfig
from .flow_matching import FlowMatching
from .inputs import NetworkInputs, latents_of
from .readers import Reader


class Anima(FlowMatching):
    def lattice(self, network: Any, inputs: NetworkInputs) -> tuple[int, int, int]:
        batch, _, frames, height, width = latents_of(inputs).shape
        if frames != 1 or inputs.get("condition_mask") is not None:
            raise UserError(
                "the network", "draws clips, or is shown other pictures: only Anima's pictures are captured"
            )
        patch = self.patch_of(network.config)
        return batch, height // patch, width // patch

    def patch_of(self, config: PartConfig) -> int:
        return int(config["patch_size"][-1])

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (Reader("t5_tokenizer", pipe.t5_tokenizer, self.text_columns),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        from diffusers.modular_pipelines.anima.encoders import AnimaTextEncoderStep

        encoded: dict[str, Any] = AnimaTextEncoderStep.encode_prompt(
            pipe, list(prompts), prepare_unconditional_embeds=False, max_sequence_length=self.text_columns
        )
        conditioner = pipe.text_conditioner
        states = conditioner(
            source_hidden_states=encoded["qwen_prompt_embeds"].to(conditioner.dtype),
            target_input_ids=encoded["t5_input_ids"],
            target_attention_mask=encoded["t5_attention_mask"],
            source_attention_mask=encoded["qwen_attention_mask"],
        )
        return {"encoder_hidden_states": states.to(pipe.transformer.dtype)}


ANIMA = Anima(
    title="Anima",
    pipelines=("AnimaModularPipeline",),
    class_name="CosmosTransformer3DModel",
    is_modular=True,
    reads_text="t5_tokenizer",
    where_prompt="first call",
)
