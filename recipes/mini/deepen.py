"""Starts a deeper UNet from a shallower one: the new layers leave what passes through them as it is, so both predict
the same.

A block of n layers per level has n residual blocks with attention on the way down, and n + 1 on the way up, each of
which reads one output of the way down. The shallow layers keep the ends: the first on the way down, the first and the
last on the way up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel

LAYER = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)")


@torch.no_grad()
def deepen(unet: UNet2DConditionModel, shallow: Mapping[str, torch.Tensor]) -> None:
    """Fill `unet`, of n layers per block, with the weights of a UNet that has one. Other new weights keep their initial
    values.

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
