"""Stable Diffusion 1.x and 2.x: a UNet with self- and cross-attention at several levels, and one tokenizer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ..groups import Layers, block_numbers
from .base import CLIP, CLIP_TOKENIZER, Condition, Family, Layer, LayerKind, Projections, Reader, refuse_adapters

if TYPE_CHECKING:
    import torch


class UNet(Family):
    """What the families with a UNet2DConditionModel have in common."""

    def layers(self, network: Any) -> dict[str, Layer]:
        return {
            name: Projections("cross" if attention.is_cross_attention else "self")
            for name, attention in attention_layers(network).items()
        }

    def levels(self, config: Mapping[str, Any], group: Layers = "all") -> tuple[int, ...]:
        return levels_of(config, group)

    def layer_counts(
        self, config: Mapping[str, Any], group: Layers = "all", level: int | None = None
    ) -> Mapping[LayerKind, int]:
        """Every transformer layer of a block has one of each kind."""
        counts = transformer_layers(config, group)
        count = sum(counts.values()) if level is None else counts.get(level, 0)
        return {"self": count, "cross": count}

    @property
    def groups(self) -> tuple[Layers, ...]:
        return ("all", "up", "down", "last")

    def fit_group(self, config: Mapping[str, Any], layers: Layers) -> Layers:
        if block_numbers(layers) is not None:
            problem = f"{layers}: blocks are a transformer's, and this model has a UNet"
            raise UserError("capture.layers", problem, "use all, up, down or last")
        return layers

    def chosen(self, names: Sequence[str], group: Layers) -> list[str]:
        return layers_in(names, group)

    def lattice(self, network: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, int, int]:
        batch, _, height, width = (kwargs["sample"] if "sample" in kwargs else args[0]).shape
        return batch, height, width

    def multiple(self, factor: int, config: Mapping[str, Any]) -> int:
        """Every level of the UNet halves the latent evenly; the pipeline also requires multiples of 8."""
        return math.lcm(8, factor * 2 ** (len(config["down_block_types"]) - 1))

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        """A UNet that takes the guidance scale as an input (LCM) predicts once per step."""
        return guidance_scale > 1 and pipe.unet.config.time_cond_proj_dim is None

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (clip_reader(pipe, "tokenizer"),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        return {"encoder_hidden_states": pipe.encode_prompt(list(prompts), device, 1, False)[0]}

    def denoise(self, pipe: Any, latents: torch.Tensor, timestep: int, condition: Condition) -> torch.Tensor:
        return pipe.unet(latents, timestep, timestep_cond=no_guidance(pipe, latents), **condition).sample


def no_guidance(pipe: Any, latents: torch.Tensor) -> torch.Tensor | None:
    """(B, D) embedding of no guidance, for photographs with a UNet that takes the guidance scale as an input (LCM);
    None for other UNets."""
    import torch

    width = pipe.unet.config.time_cond_proj_dim
    if width is None:
        return None
    return pipe.get_guidance_scale_embedding(torch.zeros(len(latents)), embedding_dim=width).to(
        latents
    )  # embeds the scale − 1


def clip_reader(pipe: Any, part: str) -> Reader:
    """The reader of one of a pipeline's CLIP tokenizers. Tokens that were added to the tokenizer are a textual
    inversion's.
    """
    tokenizer = getattr(pipe, part)
    inverted = len(tokenizer.get_added_vocab()) > len(set(tokenizer.all_special_tokens))
    convert = partial(pipe.maybe_convert_prompt, tokenizer=tokenizer) if inverted else None
    return Reader(part, tokenizer, tokenizer.model_max_length, convert=convert)


def attention_layers(unet: Any, layers: Layers = "all") -> dict[str, Any]:
    """The UNet's attention modules by name, in order of their names; all groups include the middle block.

    Raises UserError for attention whose probabilities are more than softmax(QKᵀ) of `to_q` and `to_k`.
    """
    modules = {}
    for name in layers_in([key.removesuffix(".processor") for key in unet.attn_processors], layers):
        attention = unet.get_submodule(name)
        if attention.added_kv_proj_dim is not None or attention.norm_q is not None or attention.norm_k is not None:
            raise UserError(
                f"attention of {name} has added or normalised queries or keys, which capture does not support; use SD"
                " 1.x or 2.x"
            )
        refuse_adapters(name, attention)
        modules[name] = attention
    return modules


def layers_in(names: Sequence[str], layers: Layers) -> list[str]:
    """The attention modules in a group of a UNet's layers; the middle block is in every group. names: all attention
    modules of the UNet.
    """
    if layers == "all":
        return list(names)
    side = [name for name in names if name.startswith(("up" if layers == "last" else layers, "mid"))]
    if layers != "last":
        return side
    places = {name: _place(name) for name in side}
    last: dict[str, int] = {}
    for block, number in places.values():
        last[block] = max(number, last.get(block, 0))
    return [name for name, (block, number) in places.items() if number == last[block]]


def _place(name: str) -> tuple[str, int]:
    """(the block of an attention module, the number of its layer in that block)."""
    block, _, rest = name.partition(".attentions.")
    return block, int(rest.partition(".")[0])


def levels_of(unet: Mapping[str, Any], layers: Layers = "all") -> tuple[int, ...]:
    """Divisors of L at which a UNet of this configuration (UNet2DConditionModel's config.json) has attention, finest
    first.

    Self- and cross-attention come in pairs, so both have the same levels. All groups include the middle block.
    """
    down, up = list(unet["down_block_types"]), list(unet["up_block_types"])
    coarsest = 2 ** (len(down) - 1)
    levels = {coarsest} if "CrossAttn" in (unet.get("mid_block_type", "UNetMidBlock2DCrossAttn") or "") else set()
    if layers in ("all", "down"):
        levels |= {2**i for i, block in enumerate(down) if "CrossAttn" in block}
    if layers != "down":
        levels |= {coarsest // 2**i for i, block in enumerate(up) if "CrossAttn" in block}
    return tuple(sorted(levels))


def transformer_layers(unet: Mapping[str, Any], layers: Layers = "all") -> Mapping[int, int]:
    """Divisor of L → the number of transformer layers there, in a UNet of this configuration (UNet2DConditionModel's
    config.json). Each has one self- and one cross-attention; the middle block's are in every group.

    `transformer_layers_per_block`, if it is a single number, counts `layers_per_block` times in a block on the way down
    and once more in a block on the way up.
    """
    down, up = list(unet["down_block_types"]), list(unet["up_block_types"])
    coarsest = 2 ** (len(down) - 1)

    def each(value: Any) -> list[Any]:
        return list(value) if isinstance(value, list | tuple) else [value] * len(down)

    def all_of(depth: Any, times: int) -> int:
        return sum(depth) if isinstance(depth, list | tuple) else depth * times

    def ends(depth: Any, at: int) -> int:
        return depth[at] if isinstance(depth, list | tuple) else depth

    times = each(unet["layers_per_block"])
    depths = each(unet.get("transformer_layers_per_block", 1))
    backwards = unet.get("reverse_transformer_layers_per_block") or depths[::-1]
    counts: Counter[int] = Counter()
    if "CrossAttn" in (unet.get("mid_block_type", "UNetMidBlock2DCrossAttn") or ""):
        counts[coarsest] += ends(depths[-1], 0)
    for number, (block, depth, time) in enumerate(zip(down, depths, times, strict=True)):
        if layers in ("all", "down") and "CrossAttn" in block:
            counts[2**number] += all_of(depth, time)
    for number, (block, depth, time) in enumerate(zip(up, backwards, times[::-1], strict=True)):
        if layers != "down" and "CrossAttn" in block:
            counts[coarsest // 2**number] += ends(depth, -1) if layers == "last" else all_of(depth, time + 1)
    return counts


SD = UNet(
    title="Stable Diffusion 1.x and 2.x",
    pipelines=("StableDiffusionPipeline",),
    network="unet",
    class_name="UNet2DConditionModel",
    weights=("unet", "vae", "text_encoder"),
    fitted=False,
    reads_embeddings=True,
    loading={
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    },
    text={"text_encoder": CLIP, "tokenizer": CLIP_TOKENIZER},
)
