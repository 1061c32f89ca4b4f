"""Stable Diffusion 1.x and 2.x and SDXL: a UNet with self- and cross-attention at several levels.

SDXL has no attention at level L. It reads the states of two text encoders, a pooled state, and the picture's size. The
states are concatenated in channels, so the tokens of both tokenizers share columns. The tokenizers differ only in their
padding, so a word has the same columns by both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from ...errors import UserError
from ..layers import Kind, Layer, LayerChoice, block_numbers, refuse_adapters
from .family import Family, PartConfig, Sizes, Tensor
from .inputs import DrawRequest, Reader

UNET_TENSOR = "output_blocks.0.0.in_layers.0.weight"


@dataclass(frozen=True)
class UNet(Family):
    """Families whose network is a UNet."""

    class_name: str = "UNet2DConditionModel"
    network_part: str = "unet"
    patch: int = 1

    def layers(self, network: Any) -> dict[str, Layer]:
        layers: dict[str, Layer] = {}
        count = len(network.config["down_block_types"])
        for name, attention in attention_layers(network).items():
            kind: Kind = "cross" if attention.is_cross_attention else "self"
            layers[name] = Layer((kind,), _level(name, count))
        return layers

    def names_in(self, names: Sequence[str], choice: LayerChoice) -> list[str]:
        if block_numbers(choice) is not None:
            problem = f"{choice}: blocks are a transformer's, and this model has a UNet"
            raise UserError("capture.layers", problem, "use all, up, down or last")
        if choice == "all":
            return list(names)
        side = "down" if choice == "down" else "up"
        on_side = [name for name in names if name.startswith((side, "mid"))]  # the middle block is on both sides
        if choice != "last":
            return on_side
        blocks: dict[str, dict[int, list[str]]] = {}  # block → number of its layer → names
        for name in on_side:
            block, _, rest = name.partition(".attentions.")  # such as 0.transformer_blocks.0.attn1
            blocks.setdefault(block, {}).setdefault(int(rest.partition(".")[0]), []).append(name)
        return list(chain.from_iterable(layers[max(layers)] for layers in blocks.values()))

    def sizes(self, factor: int, config: PartConfig) -> Sizes:
        """The sizes of the model's images. Every level of the UNet halves the latents evenly, and the pipeline requires
        multiples of 8."""
        multiple = math.lcm(8, factor * 2 ** (len(config["down_block_types"]) - 1))
        return super().sizes(factor, config)._replace(multiple=multiple)

    def reads_negative(self, pipe: Any, guidance_scale: float) -> bool:
        """As in `Family`. A UNet with the guidance scale as an input (LCM) reads none."""
        return super().reads_negative(pipe, guidance_scale) and pipe.unet.config.time_cond_proj_dim is None

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (clip_reader(pipe, "tokenizer"),)

    def of_tokenizers(self, first: Any, *more: Any) -> Family:
        return SDXL if self is SD and any(other is not None for other in more) else self


def clip_reader(pipe: Any, part: str) -> Reader:
    """The reader of a CLIP tokenizer. Tokens that were added to its vocabulary are taken for a textual inversion. part:
    the pipeline's name for the tokenizer."""
    tokenizer = getattr(pipe, part)
    inverted = len(tokenizer.get_added_vocab()) > len(set(tokenizer.all_special_tokens))
    convert = partial(pipe.maybe_convert_prompt, tokenizer=tokenizer) if inverted else str
    return Reader(part, tokenizer, tokenizer.model_max_length, convert=convert)


def attention_layers(unet: Any) -> dict[str, Any]:
    """Name → attention module of a UNet. Left out are modules of AnimateDiff that attend to other frames, and
    those of GLIGEN that attend to boxes. Raises UserError for a module with keys of both picture and text."""
    modules: dict[str, Any] = {}
    names = [key.removesuffix(".processor") for key in unet.attn_processors]
    for name in (name for name in names if "motion_modules" not in name and not name.endswith(".fuser.attn")):
        modules[name] = attention = unet.get_submodule(name)
        if attention.added_kv_proj_dim is not None:
            raise UserError(f"attention of {name} has added keys; use SD 1.x or 2.x")
        refuse_adapters(name, attention)
    return modules


def _level(name: str, count: int) -> int:
    """The level of an attention module, whose lattice has sides of L / level positions. name: the module's. count: the
    number of blocks on the UNet's way down."""
    block, number, _ = name.split(".", 2)  # up_blocks.1.attentions.…, mid_block.attentions.0.…
    if block == "mid_block":
        return 2 ** (count - 1)
    if block == "down_blocks":
        return 2 ** int(number)
    return 2 ** (count - 1 - int(number))


SD = UNet(
    title="Stable Diffusion 1.x and 2.x",
    single_files={
        (UNET_TENSOR,): ("sd1.5",),
        (UNET_TENSOR, "cond_stage_model.model.ln_final.weight"): ("sd2.1", "sd2.1-base"),
    },
    pipelines=("StableDiffusionPipeline",),
    replaces_missing_levels=False,
)


class XL(UNet):
    """SDXL base, and models with its pipeline class: Turbo, Lightning, SSD-1B."""

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """The arguments of the pipeline's call. An empty negative prompt becomes None, with which the pipeline reads
        zeros instead of the empty prompt."""
        arguments = super().pipeline_arguments(pipe, drawing)
        return arguments if drawing.negative_prompt else {**arguments, "negative_prompt": None}

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        parts = [part for part in ("tokenizer", "tokenizer_2") if getattr(pipe, part) is not None]
        return tuple(clip_reader(pipe, part) for part in parts)  # a refiner lacks the first

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        """The latents of photographs. An autoencoder that overflows in half precision encodes in float32, as it decodes
        in the pipeline."""
        import torch

        if pixels.dtype != torch.float16 or not pipe.vae.config.force_upcast:
            return super().latents(pipe, pixels)
        pipe.vae.to(torch.float32)
        try:
            return super().latents(pipe, pixels.float()).to(torch.float16)
        finally:
            pipe.vae.to(torch.float16)


SDXL = XL(
    title="SDXL",
    single_files={
        (UNET_TENSOR, "label_emb.0.0.weight"): ("sdxl",),
        (UNET_TENSOR, "label_emb.0.0.weight", "edm_mean"): (),  # Playground 2.5, with noise levels of its own
    },
    pipelines=("StableDiffusionXLPipeline",),
)
