"""Sana: a transformer with linear self-attention, which has no maps, and cross-attention to text.

A language model, Gemma, reads an instruction with the prompt at its end. The text columns are its first token and its
last 299 tokens: the prompt, a little of the instruction, and masked padding. Neither Gemma nor the autoencoder works in
float16.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

from .family import Condition, PartConfig, Tensor
from .flow_matching import FlowMatching
from .inputs import NetworkInputs
from .layers import CROSS, Layer
from .named import NamedModel
from .readers import Reader, stripped


class SanaFamily(FlowMatching):
    def layers(self, network: Any) -> dict[str, Layer]:
        return {name: layer for name, layer in super().layers(network).items() if layer is CROSS}

    def factor(self, vae: PartConfig) -> int:
        return 2 ** (len(vae["encoder_block_out_channels"]) - 1)

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        text = "\n".join(_instruction(pipe))
        # as in the pipeline: without the start token, and without the blank that joins the prompt's first token
        cut = len(pipe.tokenizer.encode(text)) - 2
        wrap = partial(stripped, text)
        return (Reader("tokenizer", pipe.tokenizer, cut + self.text_columns, first=-cut, wrap=wrap, convert=str.lower),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        states, mask, *_ = pipe.encode_prompt(
            list(prompts),
            do_classifier_free_guidance=False,
            device=device,
            complex_human_instruction=_instruction(pipe),
        )
        return {"encoder_hidden_states": states, "encoder_attention_mask": mask}

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        return pipe.vae.encode(pixels).latent * pipe.vae.config.scaling_factor

    def denoise(self, pipe: Any, latents: Tensor, timestep: float, told: NetworkInputs) -> Tensor:
        return super().denoise(pipe, latents, timestep * pipe.transformer.config.timestep_scale, told)


def _instruction(pipe: Any) -> list[str]:
    """The lines of the pipeline's default instruction."""
    return list(inspect.signature(type(pipe).__call__).parameters["complex_human_instruction"].default)


SANA = SanaFamily(
    title="Sana",
    named=(
        # The text of its page says NSCL v2, its tag Apache-2.0; Gemma's terms hold for the text encoder either way.
        NamedModel(
            "sana",
            "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
            "1024²",
            4.53,
            "NSCL v2 (NVIDIA), Gemma, not confirmed",
        ),
    ),
    scales=("scaling_factor",),
    pipelines=("SanaPipeline",),
    gives_sigmas=False,
    class_name="SanaTransformer2DModel",
    text_columns=300,
    template_of_call="the call decides about the instruction before the prompt",
    side=0,
    steps=20,
    guidance_scale=4.5,
    no_self_attention="its self-attention is linear, which has no map",
    pipeline_multiple=32,
)
