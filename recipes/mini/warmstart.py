"""Starts a training from a finished pipeline, whose weights become the first checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from seediff.errors import UserError
from seediff.files.outputs import write_atomic
from seediff.files.reading import read_json
from seediff.models.no_code import OWN_ATTENTION, check_parts

from .autoencoder import CHECKPOINT as AUTOENCODER
from .autoencoder import build_autoencoder
from .checkpoint import save_checkpoint
from .denoiser import Denoiser
from .loop import CHECKPOINT as DENOISER
from .recipe import Recipe

ORIGIN = "start.json"
"""The file with the `Origin`, in the folder of a training that started from a pipeline."""
LAYER = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)")


@dataclass(frozen=True)
class Origin:
    """What a training keeps of the pipeline that it started from.

    samples: number of samples that its weights had seen. preset: its constants, which are better than none. scaling:
    the factor of its latents, which its network needs; None: the factor is computed from the new scenes.
    """

    samples: int = 0
    preset: dict[str, Any] = field(default_factory=dict)
    scaling: float | None = None


def read_origin(folder: Path) -> Origin:
    """The origin of the training in `folder`; an empty origin if the training started from random weights."""
    path = folder / ORIGIN
    return read_json(path, Origin) if path.is_file() else Origin()


def read_start(pipeline: Path, recipe: Recipe, folder: Path) -> tuple[AutoencoderKL, Denoiser, Origin]:
    """The pipeline's weights in the recipe's networks, and its origin. Writes nothing.

    A UNet with one layer per block can start a deeper one. Raises UserError if `folder` already has checkpoints, or if
    the recipe would train only the inner levels.
    """
    if any((folder / name).exists() for name in (AUTOENCODER, DENOISER)):
        raise UserError(f"{folder} already holds checkpoints: leave out --init to continue them, or use another --out")
    if recipe.denoiser.coarse_samples:
        raise UserError(
            "coarse_samples",
            f"{recipe.denoiser.coarse_samples} would train the inner levels without the outer one, which the pipeline "
            "has: set coarse_samples = 0 in [denoiser] of --config",
        )
    vae, model = build_autoencoder(recipe), Denoiser(recipe)
    check_parts(pipeline / part for part in ("vae", *model.parts()))
    for name, part in {"vae": vae, **model.parts()}.items():
        kind: Any = type(part)
        options = OWN_ATTENTION if name == "text_encoder" else {}
        weights = kind.from_pretrained(pipeline, subfolder=name, use_safetensors=True, **options).float()
        if name == "unet" and weights.config.layers_per_block == 1 < recipe.denoiser.layers:
            deepen(model.unet, weights.state_dict())
        else:
            part.load_state_dict(weights.state_dict())
    said = read_json(pipeline / "seediff.json", dict[str, Any])
    scaling = read_json(pipeline / "vae" / "config.json", dict[str, Any]).get("scaling_factor")
    return vae, model, Origin(said.get("samples", 0), said.get("preset", {}), scaling)


def write_start(vae: AutoencoderKL, model: Denoiser, origin: Origin, recipe: Recipe, folder: Path) -> None:
    """Write the origin and these weights to `folder`: checkpoints of a complete autoencoder and of a network at step
    0.
    """
    write_atomic(folder / ORIGIN, json.dumps(asdict(origin), indent=2).encode())
    save_checkpoint(folder / AUTOENCODER, vae, {}, recipe.autoencoder.crops // recipe.autoencoder.batch)
    average = {k: v.detach() for k, v in model.named_parameters()}
    save_checkpoint(folder / DENOISER, model, {}, 0, **average)


@torch.no_grad()
def deepen(unet: UNet2DConditionModel, shallow: Mapping[str, torch.Tensor]) -> None:
    """Fill `unet`, of n layers per block, with the weights of a UNet that has one. Both then predict the same: the new
    layers leave what passes through them as it is.

    A block has n residual blocks with attention on the way down, and n + 1 on the way up, each of which reads an output
    of the way down. The shallow layers become the first on the way down, and the first and the last on the way up.
    Raises RuntimeError if the two differ in more than their layers.
    """
    blocks: Any = unet
    last = len(blocks.down_blocks[0].resnets)
    filled = unet.state_dict()
    for name in filled:
        source = name
        if match := LAYER.fullmatch(name):
            way, block, kind, layer, rest = match.groups()
            if layer != "0" and not (way == "up_blocks" and int(layer) == last):
                continue
            source = f"{way}.{block}.{kind}.{min(int(layer), 1)}.{rest}"
        if source not in shallow or shallow[source].shape != filled[name].shape:
            raise RuntimeError(f"{source} is missing or has another shape")
        filled[name] = shallow[source]
    unet.load_state_dict(filled)
    for way, inner in ((blocks.down_blocks, slice(1, None)), (blocks.up_blocks, slice(1, last))):
        for block in way:
            for resnet, attention in zip(list(block.resnets)[inner], list(block.attentions)[inner], strict=True):
                for ending in (resnet.conv2, attention.proj_out):
                    ending.weight.zero_()
                    ending.bias.zero_()
                if (
                    shortcut := resnet.conv_shortcut
                ) is not None:  # passes on the input from below and ignores the skip connection
                    shortcut.weight.copy_(torch.eye(*shortcut.weight.shape[:2])[..., None, None])
                    shortcut.bias.zero_()
