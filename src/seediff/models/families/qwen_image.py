"""Qwen-Image: blocks of two streams in which picture and text attend to each other, the text's columns first.

A language model reads the text within a template, whose beginning is then cut off: columns are counted from the
template's `start_idx` and include its end. Padding of shorter prompts up to the longest of the batch is masked.
Guidance takes two calls. Latents are packed like FLUX.1's; each channel is normalised by a mean and a deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...errors import UserError
from .family import Condition, DrawRequest, FlowMatching, NetworkInputs, PartConfig, Tensor
from .flux import Packed
from .layers import TEXT_FIRST
from .readers import Reader

TEXT_TOKENS = 512
"""Maximum number of text columns: the tokens after the template's beginning."""


class Qwen(FlowMatching):
    """Families with Qwen-Image's autoencoder, which takes a picture as a video of one frame."""

    def lattice(self, network: Any, given: NetworkInputs) -> tuple[int, int, int]:
        first = given["img_shapes"][0]
        (_, height, width), *others = first if isinstance(first, list) else [first]
        if others:
            raise UserError("the network is given several pictures (editing): their attention cannot be told apart")
        return len(given["hidden_states"]), height, width

    def factor(self, vae: PartConfig) -> int:
        return 2 ** len(vae["temperal_downsample"])

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        config = pipe.vae.config
        encoded = pipe.vae.encode(pixels.unsqueeze(2)).latent_dist.mean
        statistics = config.latents_mean, config.latents_std
        mean, deviation = (encoded.new_tensor(values).view(1, -1, 1, 1, 1) for values in statistics)
        return ((encoded - mean) / deviation).squeeze(2)


class QwenImage(Packed, Qwen):
    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """The guidance scale is passed as `true_cfg_scale`. `guidance_scale` is for models that take the scale as an
        input; no such model exists yet."""
        arguments = super().pipeline_arguments(pipe, drawing)
        return {**arguments, "guidance_scale": None, "true_cfg_scale": drawing.guidance_scale}

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut, wrap = pipe.prompt_template_encode_start_idx, partial(templated, pipe.prompt_template_encode)
        return (Reader("tokenizer", pipe.tokenizer, cut + TEXT_TOKENS, first=-cut, wrap=wrap),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        return masked(*pipe.encode_prompt(list(prompts), device=device, max_sequence_length=TEXT_TOKENS))

    def inputs(self, pipe: Any, latents: Tensor, size: tuple[int, int], condition: Condition) -> dict[str, Any]:
        return {"img_shapes": [[(1, *size)]] * len(latents)}


def templated(template: str, prompt: str) -> tuple[str, int]:
    """For `Reader.wrap`: (text, place). text: the template with the prompt in place of {}. place: where the prompt
    begins in it."""
    return template.format(prompt), template.index("{}")


def masked(states: Tensor, mask: Tensor | None) -> Condition:
    """The network's inputs for text states (B, T, C). mask: (B, T), False for padding; None: no padding."""
    import torch

    if mask is None:
        mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    return {"encoder_hidden_states": states, "encoder_hidden_states_mask": mask}


QWEN_IMAGE = QwenImage(
    title="Qwen-Image",
    pipelines=("QwenImagePipeline",),
    class_name="QwenImageTransformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST},
    text_columns=TEXT_TOKENS,
    side=1024,
    steps=50,
    guidance_scale=4.0,
    where_prompt="first call",
)
