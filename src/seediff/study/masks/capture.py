"""Captures the attention that masks are made from, of scenes or of images while they are drawn, so that settings can share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...attention.generate import generate_batch
from ...attention.maps import AttentionMaps
from ...attention.photograph import capture_images
from ...config.constants import CaptureConfig, CaptureSteps
from ...config.sizes import Size
from ...files.output_folders import check_writable
from ...mini.scenes import Scene, load_scenes
from ...models.registry import Model, load_model
from ...prompts.specs import SampleSpec

TIMESTEPS = (50, 150, 250, 350, 450, 550)
"""Default noise levels at which a scene's attention is captured and averaged."""
BATCH = 16
Captured = tuple[int, Scene, dict[CaptureConfig, AttentionMaps]]
"""A scene's index, the scene, and its attention."""


def prepare(model: str, device: str | None, out: Path, json_path: Path | None, *sets: tuple[str, int]) -> tuple[Model, list[list[Scene]]]:
    """The model, and the first scenes of each set (name, number). The model is loaded last, because this takes longest. Raises UserError:
    more scenes asked for than there are, no place to write to, or an unknown model."""
    scenes = [load_scenes(name, count) for name, count in sets]
    check_writable(out, json_path)
    return load_model(model, device=device), scenes


def captured(
    model: Model, scenes: Sequence[Scene], sources: Sequence[CaptureConfig], *, timesteps: Sequence[int] = TIMESTEPS, seed: int
) -> Iterator[Captured]:
    """Every scene with its attention, captured with its caption, a batch at a time. Earlier batches are not kept."""
    for start in range(0, len(scenes), BATCH):
        batch = scenes[start : start + BATCH]
        maps: dict[CaptureConfig, list[AttentionMaps]] = {}
        for capture, groups in by_groups(sources).items():
            of_groups = capture_images(
                model,
                [s.image for s in batch],
                [s.caption for s in batch],
                [s.classes for s in batch],
                timesteps=timesteps,
                seed=seed,
                capture=capture,
                groups=[source.layers for source in groups],
                indices=range(start, start + len(batch)),
            )
            maps |= {source: of_groups[source.layers] for source in groups}
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
    """(H, W, 3) uint8 of every sample, and its maps for every source. The samples are drawn once per entry of `by_groups`, the same each
    time."""
    images: list[np.ndarray] = []
    maps: dict[CaptureConfig, list[AttentionMaps]] = {}
    for capture, groups in by_groups(sources).items():
        images, of_groups = generate_batch(
            model,
            batch,
            steps=steps,
            guidance_scale=guidance_scale,
            negative_prompt="",
            size=size,
            capture=replace(capture, steps=capture_steps),
            groups=[source.layers for source in groups],
        )
        maps |= {source: of_groups[source.layers] for source in groups}
    return images, maps


def by_groups(sources: Sequence[CaptureConfig]) -> dict[CaptureConfig, list[CaptureConfig]]:
    """Capture of all layers → the sources that it provides; together, the captures provide all sources. If any source keeps layers apart,
    the capture of similar sources does too, and their means are taken from these layers."""
    groups: dict[CaptureConfig, list[CaptureConfig]] = {}
    for source in sources:
        apart = any(replace(other, layers=source.layers, apart=source.apart) == source and other.apart for other in sources)
        groups.setdefault(replace(source, layers="all", apart=apart), []).append(source)
    return groups
