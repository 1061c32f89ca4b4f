"""Stable Diffusion 3 and 3.5: a transformer (MM-DiT) in which picture and text attend to each other, the picture's
columns first.

The text has 77 columns of two CLIP tokenizers, whose states are concatenated in channels, and then T5's columns. The
picture attends to padding as to words. The first blocks of some models (3.5 medium) have a second attention, of the
picture to itself alone.
"""

from __future__ import annotations

from typing import Any

from ..layers import JOINT, SELF, Layer, refuse_adapters
from .family import CLIP_TOKENS, FlowMatching, PartConfig, Sizes
from .inputs import Reader

MMDIT_TENSOR = "joint_blocks.0.x_block.attn.qkv.weight"

T5_TOKENS = 256
"""Maximum number of T5 tokens that the pipeline reads by default."""


class MMDiT(FlowMatching):
    def layers(self, network: Any) -> dict[str, Layer]:
        layers: dict[str, Layer] = {}
        for number, block in enumerate(network.transformer_blocks):
            name = f"transformer_blocks.{number}.attn"
            refuse_adapters(name, block.attn)
            layers[name] = JOINT
            if block.attn2 is not None:
                layers[f"{name}2"] = SELF
        return layers

    def sizes(self, factor: int, config: PartConfig) -> Sizes:
        sizes = super().sizes(factor, config)
        return sizes._replace(largest=int(config["pos_embed_max_size"]) * sizes.multiple)

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        clip = pipe.tokenizer_max_length
        readers = [Reader(part, getattr(pipe, part), clip) for part in ("tokenizer", "tokenizer_2")]
        if pipe.text_encoder_3 is not None:  # may be left out because of its size; its columns are then zeros
            readers.append(Reader("tokenizer_3", pipe.tokenizer_3, T5_TOKENS, first=clip))
        return tuple(readers)


SD3 = MMDiT(
    title="Stable Diffusion 3 and 3.5",
    single_files={
        (MMDIT_TENSOR,): ("sd3",),
        (MMDIT_TENSOR, "joint_blocks.0.x_block.attn2.qkv.weight"): ("sd3.5-medium",),
        (MMDIT_TENSOR, "joint_blocks.37.x_block.attn.qkv.weight"): ("sd3.5-large",),
    },
    gives_sigmas=False,
    pipelines=("StableDiffusion3Pipeline",),
    class_name="SD3Transformer2DModel",
    optional_parts=("text_encoder_3", "tokenizer_3"),
    text_columns=CLIP_TOKENS + T5_TOKENS,
    side=0,
)
