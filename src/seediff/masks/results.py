"""What methods make of attention: a class's soft mask, and the masks of an image. Frozen; shape letters as in attention/maps.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from .trace import Step


@dataclass(frozen=True)
class SoftMask:
    """What a method makes of one class: soft (h, w) float32 in [0, 1]; flags; the map after every step."""

    soft: torch.Tensor
    flags: tuple[str, ...] = ()
    trace: Mapping[Step, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskResult:
    """Masks of one image.

    label_map: (H, W) uint8, 0 = background, i + 1 = classes[i], 255 = ignore.
    soft: (C, H, W) float32 in [0, 1], what was thresholded. classes: the C names, in order.
    flags: what went wrong, such as `no_seeds:dog` or `degenerate:dog`. trace: class → step → map, empty where
    no steps were asked for.
    """

    label_map: np.ndarray
    soft: torch.Tensor
    classes: tuple[str, ...]
    flags: tuple[str, ...] = ()
    trace: Mapping[str, Mapping[Step, torch.Tensor]] = field(default_factory=dict)
