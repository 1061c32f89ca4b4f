"""Features of the UNet's encoder while it runs: what DiffCut cuts into segments.

    with capture_features(pipe.unet) as recorder:
        pipe.unet(latents, 50, encoder_hidden_states=embeddings)
    features = recorder.features()  # (B, C, h, w)

Features are the outputs of the last self-attention module of an encoder level (`attn1`: after its output projection,
before the outputs are added to the hidden states), as in the program of Couairon et al. ("DiffCut", NeurIPS 2024). A
forward hook reads them and does not change the UNet's results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from ..errors import UserError
from ..models.compiled import listen
from ..models.families.family import latents_given
from ..models.families.unet import attention_layers
from ..models.weights import no_number

COARSEST_SIDE = 16
"""Minimum number of positions on the features' longer side. The published program takes the encoder's last attention,
which has 32 at 1024² pixels. The embedded model's has 8: on its tuning scenes, segments at the next finer level reach a
mIoU of 0.44 instead of 0.30."""


@contextmanager
def capture_features(unet: Any) -> Iterator[FeatureRecorder]:
    """Record the encoder's features in the last UNet call inside the `with` block, of the last encoder level with
    attention whose longer side has at least COARSEST_SIDE positions, or of the first level if there is none. Raises
    UserError when its encoder has no self-attention.
    """
    layers = encoder_layers(unet)
    if not layers:
        raise UserError("the UNet's encoder has no self-attention to take features from; use SD 1.x or 2.x")
    recorder = FeatureRecorder(tuple(layers))
    handles: list[Any] = []
    try:
        handles.append(unet.register_forward_pre_hook(recorder.start_call, with_kwargs=True))
        for level, name in layers.items():
            handles.append(listen(unet, unet.get_submodule(name), partial(recorder.record, level)))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def encoder_layers(unet: Any) -> dict[int, str]:
    """Level → name of the last self-attention module of the encoder at L / level, from fine to coarse. Every encoder
    block but the last halves both sides at its end, so block i works at L / 2^i.
    """
    layers = {}
    for name, attention in attention_layers(unet, "down").items():
        if name.startswith("down_blocks.") and not attention.is_cross_attention:
            layers[2 ** int(name.split(".")[1])] = name
    return dict(sorted(layers.items()))


class FeatureRecorder:
    """One level's features of one UNet call."""

    def __init__(self, levels: tuple[int, ...]) -> None:
        self.levels = levels
        self._level = 0
        self._latent_size = (0, 0)
        self._features: torch.Tensor | None = None
        self._dtype = ""

    def start_call(self, _unet: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the UNet: decides which level is recorded."""
        height, width = latents_given(args, kwargs).shape[-2:]
        self._latent_size = height, width
        fine = (level for level in self.levels if max(height, width) // level >= COARSEST_SIDE)
        self._level = max(fine, default=min(self.levels))

    def record(self, level: int, _attention: Any, _args: Any, output: torch.Tensor) -> None:
        """Forward hook of the self-attention module at `level`; output (B, N, C)."""
        if level == self._level:
            grid = [-(-side // level) for side in self._latent_size]  # convolutions that halve round up
            self._dtype = str(output.dtype)
            copy = output.detach().to(torch.float32, copy=True)
            self._features = copy.transpose(1, 2).unflatten(2, grid).contiguous()

    def features(self) -> torch.Tensor:
        """(B, C, h, w) float32, on the UNet's device. Raises UserError when the UNet did not run or the features are
        not finite.
        """
        if self._features is None:
            raise UserError("no features were captured: the UNet did not run")
        if not self._features.isfinite().all():
            raise no_number("features", self._dtype)
        return self._features
