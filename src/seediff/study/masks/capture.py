"""Attention that masks are made from: of scenes as they are, and of images while they are drawn. One capture serves every setting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...attention.generate import generate_batch
from ...attention.maps import AttentionMaps
from ...attention.photograph import capture_images
from ...config.constants import CaptureConfig, CaptureSteps
from ...config.sizes import Size
from ...mini.scenes import Scene
from ...models.groups import Layers
from ...models.registry import Model
from ...prompts.specs import SampleSpec
from .contest import Share, Source

TIMESTEPS = (50, 150, 250, 350, 450, 550)
"""Noise levels at which a scene's attention is captured and averaged, where no others are asked for."""
BATCH = 16
Captured = tuple[int, Scene, dict[Source, AttentionMaps]]
"""A scene's index, the scene, and its attention."""


def captured(
    model: Model, scenes: Sequence[Scene], sources: Sequence[Source], *, timesteps: Sequence[int] = TIMESTEPS, seed: int
) -> Iterator[Captured]:
    """Every scene with its attention, captured with its caption, a batch at a time; nothing is kept."""
    for start in range(0, len(scenes), BATCH):
        batch = scenes[start : start + BATCH]
        maps: dict[Source, list[AttentionMaps]] = {}
        for share, groups in by_share(sources).items():
            of_groups = capture_images(
                model,
                [s.image for s in batch],
                [s.caption for s in batch],
                [s.classes for s in batch],
                timesteps=timesteps,
                seed=seed,
                capture=CaptureConfig(text_share=share),
                groups=groups,
                indices=range(start, start + len(batch)),
            )
            maps |= {(group, share): of_batch for group, of_batch in of_groups.items()}
        for offset, scene in enumerate(batch):
            yield start + offset, scene, {source: of_batch[offset] for source, of_batch in maps.items()}


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
    """(H, W, 3) uint8 of every sample, and its maps of every source. They are drawn once per share of attention, the same each time."""
    images: list[np.ndarray] = []
    maps: dict[Source, list[AttentionMaps]] = {}
    for share, groups in by_share(sources).items():
        images, of_groups = generate_batch(
            model,
            batch,
            steps=steps,
            guidance_scale=guidance_scale,
            negative_prompt="",
            size=size,
            capture=CaptureConfig(steps=capture_steps, text_share=share),
            groups=groups,
        )
        maps |= {(group, share): of_batch for group, of_batch in of_groups.items()}
    return images, maps


def by_share(sources: Sequence[Source]) -> dict[Share, list[Layers]]:
    """The groups of layers that one capture of each share gives."""
    groups: dict[Share, list[Layers]] = {}
    for group, share in sources:
        groups.setdefault(share, []).append(group)
    return groups
