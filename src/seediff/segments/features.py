"""The features of a UNet's encoder, recorded while it runs:

    with capture_features(pipe.unet, latents.shape[-2:]) as found:
        pipe.unet(latents, 50, encoder_hidden_states=embeddings)
    (features,) = found  # (B, C, h, w)

As in the program of Couairon et al. ("DiffCut", NeurIPS 2024), features are the outputs of the last self-attention
module (`attn1`) of an encoder level, before they are added to the hidden states. A forward hook reads them and does not
change the UNet's results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ..attention.lattice import grid_at
from ..errors import UserError, not_finite
from ..models.families.unet import attention_layers

COARSEST_SIDE = 16
"""Minimum number of positions on the features' longer side. The published program takes the encoder's last attention,
which has 32 positions a side at 1024² pixels. The embedded model's last attention has only 8. On its tuning scenes,
segments of the next finer level reach a mIoU of 0.44 instead of 0.30."""


@contextmanager
def capture_features(unet: Any, lattice: Sequence[int]) -> Iterator[list[torch.Tensor]]:
    """A list to which each UNet call inside the `with` block appends the encoder's features, (B, C, h, w) float32. They
    come from the last level with attention whose longer side has at least COARSEST_SIDE positions; if no level has so
    many, from the first level with attention.

    unet: the network. lattice: (height, width) of L. Raises UserError if the encoder has no self-attention, and at
    the end of the block for features that are not finite.
    """
    layers = encoder_layers(unet)
    if not layers:
        raise UserError("the UNet's encoder has no self-attention to take features from; use SD 1.x or 2.x")
    fine = (level for level in layers if max(lattice) // level >= COARSEST_SIDE)
    level = max(fine, default=min(layers))
    grid = grid_at((lattice[0], lattice[1]), level)
    found: list[torch.Tensor] = []

    def record(_attention: Any, _args: Any, output: torch.Tensor) -> None:
        """Forward hook of the self-attention module: keep its output (B, N, C)."""
        copy = output.detach().to(torch.float32, copy=True)
        found.append(copy.transpose(1, 2).unflatten(2, grid).contiguous())

    handle = unet.get_submodule(layers[level]).register_forward_hook(record)
    try:
        yield found
    finally:
        handle.remove()
    if not all(bool(features.isfinite().all()) for features in found):
        raise not_finite("features", str(unet.dtype))


def encoder_layers(unet: Any) -> dict[int, str]:
    """Level → the name of the encoder's last self-attention module at L / level, the finest level first. Every encoder
    block but the last halves both sides at its end, so block i works at L / 2^i."""
    layers = {}
    for name, attention in attention_layers(unet).items():
        if name.startswith("down_blocks.") and not attention.is_cross_attention:
            layers[2 ** int(name.split(".")[1])] = name
    return dict(sorted(layers.items()))
