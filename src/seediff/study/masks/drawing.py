"""Images drawn with all the attention that settings are made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...attention.generate import generate_batch
from ...attention.maps import AttentionMaps
from ...config.constants import CaptureConfig, CaptureSteps
from ...config.sizes import Size
from ...models.registry import Model
from ...prompts.specs import SampleSpec
from .contest import Source
from .score import by_share


def draw_with_attention(
    model: Model,
    batch: Sequence[SampleSpec],
    sources: Sequence[Source],
    *,
    steps: int,
    guidance_scale: float,
    size: Size | None = None,
    capture_steps: CaptureSteps = "all",
) -> tuple[list[np.ndarray], dict[Source, list[AttentionMaps]]]:
    """(H, W, 3) uint8 of every sample, and its maps of every source. They are drawn once a share of attention, the same each time."""
    images: list[np.ndarray] = []
    found: dict[Source, list[AttentionMaps]] = {}
    for share, groups in by_share(sources).items():
        images, maps = generate_batch(
            model,
            batch,
            steps=steps,
            guidance_scale=guidance_scale,
            negative_prompt="",
            size=size,
            capture=CaptureConfig(steps=capture_steps, text_share=share),
            groups=groups,
        )
        found |= {(group, share): of for group, of in maps.items()}
    return images, found
