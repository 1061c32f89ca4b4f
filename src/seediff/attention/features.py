"""Features of the UNet's encoder while it runs: what DiffCut cuts into segments.

    with capture_features(pipe.unet) as recorder:
        pipe.unet(latents, 50, encoder_hidden_states=embeddings)
    features = recorder.features()  # (B, C, h, w)

They are the outputs of a self-attention module (`attn1`: after its output projection, before they are added to the hidden
states), of the last such module of an encoder level, as in the program of Couairon et al. ("DiffCut", NeurIPS 2024). A forward
hook reads them; the UNet computes what it would without. It may be captured by `capture_attention` in the same call.

Shape letters: B images, C channels, N = h·w positions, L the latent's height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from ..config.levels import level_name
from ..errors import UserError
from ..models.compiled import listen
from ..models.families.unet import attention_layers

COARSEST_SIDE = 16
"""Positions of the longer side that features must have when nobody chose their level. The published program takes the encoder's last
attention, which has 32 at 1024² pixels (Stable Diffusion at 512²: 16). The embedded model's last one has 8, where an object is a
few positions: on its tuning scenes segments at the level above reach a mIoU of 0.44 instead of 0.30."""


@contextmanager
def capture_features(unet: Any, *, guidance: bool = False, level: int | None = None) -> Iterator[FeatureRecorder]:
    """Record the encoder's features of every UNet call inside the `with` block; the hooks are removed whatever happens there.

    Args:
        unet: a UNet2DConditionModel.
        guidance: whether batches are `[unconditional; conditional]` halves, as under classifier-free guidance; only the
            conditional half is recorded. False: all of the batch is.
        level: record features at L / level. None: the last encoder level with attention whose longer side has at least COARSEST_SIDE
            positions, the first when none has.

    Raises UserError when the encoder has no self-attention, or none at that level.
    """
    layers = encoder_layers(unet)
    if not layers:
        raise UserError("the UNet's encoder has no self-attention to take features from; use SD 1.x or 2.x")
    if level is not None and level not in layers:
        known = ", ".join(f"{one} ({level_name(one)})" for one in layers)
        raise UserError(f"level = {level}: the UNet's encoder has self-attention at levels {known}")
    recorder = FeatureRecorder(tuple(layers) if level is None else (level,), guidance=guidance)
    handles: list[Any] = []
    try:
        handles.append(unet.register_forward_pre_hook(recorder.start_step, with_kwargs=True))
        for one in recorder.levels:
            handles.append(listen(unet, unet.get_submodule(layers[one]), partial(recorder.record, one)))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def encoder_layers(unet: Any) -> dict[int, str]:
    """Level → name of the last self-attention module of the encoder at L / level, from fine to coarse.

    Every encoder block but the last halves both sides at its end, so block i works at L / 2^i.
    """
    layers = {}
    for name, attention in attention_layers(unet, "down").items():
        if name.startswith("down_blocks.") and not attention.is_cross_attention:
            layers[2 ** int(name.split(".")[1])] = name
    return dict(sorted(layers.items()))


class FeatureRecorder:
    """The running sum of one level's features over UNet calls."""

    def __init__(self, levels: tuple[int, ...], *, guidance: bool) -> None:
        self.levels = levels
        self.guidance = guidance
        self.level: int | None = None
        self.latent_size = (0, 0)
        self._total: torch.Tensor | None = None
        self._count = 0

    def start_step(self, _unet: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the UNet: decides which level this call records."""
        sample = kwargs["sample"] if "sample" in kwargs else args[0]
        batch, _, height, width = sample.shape
        if self.guidance and batch % 2:
            raise ValueError(f"guidance=True needs [unconditional; conditional] halves, but the batch is {batch}")
        self.latent_size = height, width
        fine_enough = [level for level in self.levels if max(height, width) // level >= COARSEST_SIDE]
        self.level = max(fine_enough, default=min(self.levels))

    def record(self, level: int, _attention: Any, _args: Any, output: torch.Tensor) -> None:
        """Forward hook of the self-attention module at `level`; output (B, N, C)."""
        if level != self.level:
            return
        with torch.no_grad():
            half = output[output.shape[0] // 2 :] if self.guidance else output
            grid = [-(-side // level) for side in self.latent_size]  # convolutions that halve round up
            found = half.to(torch.float32, copy=True).transpose(1, 2).unflatten(2, grid)
            if self._total is None:
                self._total = found
            elif self._total.shape == found.shape:
                self._total += found
            else:
                raise ValueError(f"one capture is of one batch: features {tuple(self._total.shape)}, then {tuple(found.shape)}")
            self._count += 1

    def features(self) -> torch.Tensor:
        """(B, C, h, w) float32, the mean over UNet calls (DiffCut makes one), on the UNet's device.

        Raises UserError when the UNet did not run or the features are not finite.
        """
        if self._total is None:
            raise UserError("no features were captured: the UNet did not run")
        if not self._total.isfinite().all():
            raise UserError("features are not numbers: half precision overflowed; use --dtype float32 or bfloat16")
        return (self._total / self._count).contiguous()
