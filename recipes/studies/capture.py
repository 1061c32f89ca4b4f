"""Captures the attention that masks are made from, of scenes or of images while they are drawn, so that settings can
share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seediff.attention.draw import generate_batch
from seediff.attention.maps import AttentionMaps
from seediff.attention.plan import CapturePlan, plan_capture
from seediff.attention.see_photos import capture_classes, encode_images, encode_mirrored
from seediff.config.methods import CaptureConfig, CaptureSteps
from seediff.config.sizes import Size
from seediff.mini import Scene
from seediff.models.registry import Model
from seediff.prompts.specs import SampleSpec

TIMESTEPS = (50, 150, 250, 350, 450, 550)
"""Noise levels at which a scene's attention is captured and averaged."""
BATCH = 16
Captured = tuple[int, Scene, dict[CaptureConfig, AttentionMaps]]
"""A scene's index, the scene, and its attention."""


def capture_images(
    model: Model,
    images: Sequence[np.ndarray],
    prompts: Sequence[str],
    classes: Sequence[Sequence[str]],
    *,
    timesteps: Sequence[int] = TIMESTEPS,
    seed: int,
    plan: CapturePlan,
    indices: Sequence[int] | None = None,
) -> list[AttentionMaps]:
    """`capture_classes` of images (H, W, 3) uint8 of one size with one caption each, which must name its classes.
    indices: the images' numbers; None: 0, 1, 2, …"""
    latents, mirrored = encode_images(model, images), encode_mirrored(model, images, plan.capture)
    sentences = [[(prompt, names)] for prompt, names in zip(prompts, classes, strict=True)]
    numbers = range(len(images)) if indices is None else indices
    return capture_classes(
        model, latents, sentences, timesteps=timesteps, seed=seed, plan=plan, indices=numbers, mirrored=mirrored
    )


def captured(
    model: Model, scenes: Sequence[Scene], sources: Sequence[CaptureConfig], *, seed: int
) -> Iterator[Captured]:
    """Every scene with its attention, captured with its caption, a batch at a time. Earlier batches are not kept."""
    for start in range(0, len(scenes), BATCH):
        batch = scenes[start : start + BATCH]
        maps = {
            source: capture_images(
                model,
                [s.image for s in batch],
                [s.caption for s in batch],
                [s.classes for s in batch],
                timesteps=TIMESTEPS,
                seed=seed,
                plan=plan_capture(model.family, model.layers, source),
                indices=range(start, start + len(batch)),
            )
            for source in dict.fromkeys(sources)
        }
        for offset, scene in enumerate(batch):
            yield start + offset, scene, {source: of_batch[offset] for source, of_batch in maps.items()}


def draw_with_attention(
    model: Model,
    batch: Sequence[SampleSpec],
    sources: Sequence[CaptureConfig],
    *,
    steps: int,
    guidance_scale: float,
    size: Size | None = None,
    capture_steps: CaptureSteps = "all",
) -> tuple[list[np.ndarray], dict[CaptureConfig, list[AttentionMaps]]]:
    """(H, W, 3) uint8 of every sample, and its maps for every source. The samples are drawn once per source, the same
    each time."""
    images: list[np.ndarray] = []
    maps: dict[CaptureConfig, list[AttentionMaps]] = {}
    for source in dict.fromkeys(sources):
        plan = plan_capture(model.family, model.layers, replace(source, steps=capture_steps))
        how: dict[str, Any] = {"steps": steps, "guidance_scale": guidance_scale, "negative_prompt": "", "size": size}
        images, maps[source] = generate_batch(model, batch, **how, plan=plan)
    return images, maps
