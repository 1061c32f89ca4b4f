"""Compares masks of generated images, which have no exact masks, with a yardstick: a segmenter trained on exact masks of rendered scenes.

The segmenter is given each image's classes, as the methods are. Its own IoU on held-out scenes shows how far to trust it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...config.base import configure
from ...config.constants import CaptureConfig, CaptureSteps, check_capture_steps
from ...config.generate import GenerateConfig
from ...errors import UserError
from ...files.output_folders import check_writable
from ...mini.scenes import CLASS_IDS, CLASSES, Scene, caption, load_scenes
from ...mini.yardsticks import Segmenter, load_segmenter, segment_known, segmenter_iou
from ...models.registry import Model, load_model
from ...prompts.specs import SampleSpec
from ...report.progress import tracked
from .capture import BATCH, Captured, draw_with_attention
from .constants import read_constants, seek_constants
from .results import write_results
from .truth import measure, sources

YARDSTICK_SCENES = 300
EMPTY_SHARE = 0.01  # a class whose share of the image, by the yardstick, is less counts as not drawn


def run_generated(
    images: int = 190,
    out: Path = Path("generated"),
    *,
    model: str = "mini",
    tune_scenes: int = 200,
    constants: Path | None = None,
    json_path: Path | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    capture_steps: CaptureSteps | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Generate `images`, half with one class and half with two, and compare every method's masks with the yardstick's.

    Constants come from the `tune` scenes or an earlier study, as in `run_truth`. steps, guidance_scale, capture_steps (the steps whose
    attention is captured): None for the model's defaults; the scheduler is the model's default. Images in which the yardstick misses a
    class are left out and counted in `not_drawn`: they show how well the model draws, not how well a method masks.

    Raises:
        UserError: no yardstick, an unknown model, a count out of range, unusable `constants`, or no place to write to.
    """
    started = time.monotonic()
    if capture_steps is not None:
        check_capture_steps(capture_steps)
    given = {"steps": steps, "guidance_scale": guidance_scale, "capture.steps": capture_steps}
    drawing = configure(GenerateConfig, {"classes": CLASSES, "model": model, **{n: v for n, v in given.items() if v is not None}})
    steps, guidance_scale, capture_steps = drawing.steps, drawing.guidance_scale, drawing.capture.steps
    if images < 1:
        raise UserError(f"images = {images} must be at least 1")
    held = load_scenes("truth", YARDSTICK_SCENES)
    yardstick = load_segmenter()
    earlier = read_constants(constants) if constants else None
    tuning = [] if earlier else load_scenes("tune", tune_scenes)
    check_writable(out, json_path)
    loaded = load_model(model, device=device, scheduler=drawing.scheduler)
    best = earlier or seek_constants(loaded, tuning, seed=seed)
    kinds = ("own_best", "own_best_without", "paper", "paper_without")
    chosen = {key: setting for key, setting in best.chosen.items() if key[0] in kinds}
    items = drawn(loaded, specs(images, seed), sources(chosen), yardstick, steps, guidance_scale, capture_steps)
    result, scores, sheet = measure(tracked(items, "generated", images), chosen)
    result |= best.about() | {
        "images": images,
        "not_drawn": images - len(np.unique(scores.images)),
        "model": loaded.name,
        "pairs": len(scores.classes),
        "yardstick_iou": round(segmenter_iou(yardstick, held), 4),
        "steps": steps,
        "guidance_scale": guidance_scale,
        "capture_steps": capture_steps,
        "scheduler": drawing.scheduler,
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_results(out, result, best.trials, sheet, json_path)
    return result


def specs(count: int, seed: int) -> list[SampleSpec]:
    """`count` samples with plain prompts: every class in turn, alone and together with another."""
    made = []
    for index in range(count):
        first = index // 2 % len(CLASSES)
        other = (first + 1 + index // 2 // len(CLASSES)) % len(CLASSES)
        classes = (CLASSES[first],) if index % 2 == 0 or other == first else (CLASSES[first], CLASSES[other])
        made.append(SampleSpec(index, classes, caption(classes, None), seed * 1_000_003 + index))
    return made


def drawn(
    model: Model,
    samples: Sequence[SampleSpec],
    sources: Sequence[CaptureConfig],
    yardstick: Segmenter,
    steps: int,
    guidance_scale: float,
    capture_steps: CaptureSteps,
) -> Iterator[Captured]:
    """Generated images as scenes with the yardstick's label maps, and their attention. Images in which it misses a class are skipped.

    Raises UserError if all are skipped.
    """
    kept = 0
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        images, maps = draw_with_attention(model, batch, sources, steps=steps, guidance_scale=guidance_scale, capture_steps=capture_steps)
        label_maps = segment_known(yardstick, np.stack(images), [s.classes for s in batch])
        for offset, (spec, image, label_map) in enumerate(zip(batch, images, label_maps, strict=True)):
            if all((label_map == CLASS_IDS[c]).mean() >= EMPTY_SHARE for c in spec.classes):
                kept += 1
                yield spec.index, Scene(image, label_map, spec.classes, spec.prompt), {source: of[offset] for source, of in maps.items()}
    if not kept:
        raise UserError(f"the yardstick finds its class in none of the {len(samples)} images: is '{model.name}' trained on its classes?")
