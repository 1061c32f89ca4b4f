"""ERNIE-Image: one stream in which picture and text attend to each other, the picture's columns first.

A language model reads the prompt as it is. If prompts of a batch differ in length, the shorter are padded, and padding
is masked. Latents are as in FLUX.2: 2 × 2 latents, concatenated in channels, are a position. The pipeline may have a
model that rewrites the prompt first. It is not used, because words could be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .family import NOT_LOADED, Condition, PartConfig, Tensor
from .flow_matching import FlowMatching
from .flux2 import normed_latents
from .inputs import NetworkInputs
from .layers import JOINT
from .named import APACHE, NamedModel

EPSILON = 1e-5
"""The pipeline adds this to the variances of latents, though the autoencoder's configuration has another value."""


class ErnieImage(FlowMatching):
    def factor(self, vae: PartConfig) -> int:
        return 2 ** len(vae["block_out_channels"])  # includes the packing of 2 × 2 latents

    def text_columns_of_call(self, inputs: NetworkInputs) -> int | None:
        return inputs["text_bth"].shape[1]

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        states = pipe.encode_prompt(list(prompts), device)
        network = pipe.transformer
        padded, lengths = pipe._pad_text(states, device, network.dtype, network.config.text_in_dim)
        return {"text_bth": padded, "text_lens": lengths}

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        packed, size = normed_latents(pipe.vae, pixels, EPSILON)
        return packed.transpose(1, 2).unflatten(2, size)


ERNIE_IMAGE = ErnieImage(
    title="ERNIE-Image",
    named=(
        NamedModel("ernie-image", "baidu/ERNIE-Image", "1024²", 11.97, APACHE),
        NamedModel("ernie-image-turbo", "baidu/ERNIE-Image-Turbo", "1024², few steps", 11.97, APACHE),
    ),
    scales=(),  # but its autoencoder's batch norm
    pipelines=("ErnieImagePipeline",),
    not_loaded=(*NOT_LOADED, "pe", "pe_tokenizer"),  # the model that rewrites prompts
    class_name="ErnieImageTransformer2DModel",
    streams={"layers": JOINT},
    attention="self_attention",
    steps=50,
    guidance_scale=4.0,
    distilled_steps=8,
)
