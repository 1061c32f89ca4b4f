"""Masks of generated images, which have no exact masks, against a yardstick: a segmenter trained on exact masks of
rendered scenes.

The segmenter is given each image's classes, as the methods are. Its own IoU on held-out scenes shows how far to trust
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from recipes.mini.sets import caption, load_set
from recipes.mini.yardstick import Segmenter, finds, load_segmenter, segment_known, segmenter_iou
from seediff.config.methods import CaptureConfig
from seediff.config.runs import GenerateConfig
from seediff.errors import UserError
from seediff.files.outputs import check_writable
from seediff.mini.scenes import CLASSES, Scene
from seediff.models.load import Model, load_model
from seediff.prompts.specs import SampleSpec

from .capture import BATCH, Captured, draw_with_attention
from .truth import measure, sources, write_results
from .tuning import KINDS, read_chosen

YARDSTICK_SCENES = 300


def run_generated(
    out: Path, constants: Path, *, images: int = 190, model: str = "mini", device: str | None = None
) -> dict[str, Any]:
    """Compare every method's masks of generated images with a segmenter trained on exact masks. Half of the images show
    one class, half two, drawn as `seediff generate` does.

    Images in which the yardstick misses a class are left out and counted in `not_drawn`: they show how well the model
    draws, not how well a method masks. Raises UserError: an unknown model, unusable `constants`, or no place to write
    to.

    Example: python -m recipes.studies generated --constants docs/truth.json --out generated

    Parameters
    ----------
    out
        Folder for results.json, results.md and scenes.png.
    constants
        results.json of a study of truth, whose constants are used.
    images
        Number of images to generate.
    """
    chosen = {key: setting for key, setting in read_chosen(constants).items() if key[0] in KINDS[:3]}
    drawing = GenerateConfig.recommended(classes=CLASSES, model=model)
    yardstick = load_segmenter()
    check_writable(out)
    loaded = load_model(model, device=device, scheduler=drawing.scheduler)
    items = drawn(loaded, specs(images), sources(chosen), yardstick, drawing)
    figures, scores, sheet = measure(track(items, "generated", images), chosen)
    result = {
        "model": loaded.info.name,
        "images": images,
        "not_drawn": images - len(np.unique(scores.images)),
        "pairs": len(scores.classes),
        "yardstick_iou": round(segmenter_iou(yardstick, load_set("truth", YARDSTICK_SCENES)), 4),
        "steps": drawing.steps,
        "guidance_scale": drawing.guidance_scale,
        "capture_steps": drawing.capture.steps,
        "scheduler": drawing.scheduler,
        **figures,
    }
    write_results(out, result, sheet)
    return result


def specs(count: int) -> list[SampleSpec]:
    """`count` samples with plain prompts: every class in turn, alone and together with another."""
    made = []
    for index in range(count):
        first = index // 2 % len(CLASSES)
        other = (first + 1 + index // 2 // len(CLASSES)) % len(CLASSES)
        classes = (CLASSES[first],) if index % 2 == 0 or other == first else (CLASSES[first], CLASSES[other])
        made.append(SampleSpec(index, classes, caption(classes, None), index))
    return made


def drawn(
    model: Model,
    samples: Sequence[SampleSpec],
    sources: Sequence[CaptureConfig],
    yardstick: Segmenter,
    drawing: GenerateConfig,
) -> Iterator[Captured]:
    """Generated images as scenes with the yardstick's label maps, and their attention. Images in which it misses a
    class are skipped.

    Raises UserError if all are skipped.
    """
    options: dict[str, Any] = {
        "steps": drawing.steps,
        "guidance_scale": drawing.guidance_scale,
        "capture_steps": drawing.capture.steps,
    }
    kept = 0
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        images, maps = draw_with_attention(model, batch, sources, **options)
        label_maps = segment_known(yardstick, np.stack(images), [s.classes for s in batch])
        for offset, (spec, image, label_map) in enumerate(zip(batch, images, label_maps, strict=True)):
            if all(finds(label_map, name) for name in spec.classes):
                kept += 1
                yield (
                    spec.index,
                    Scene(image, label_map, spec.classes, spec.prompt),
                    {source: of[offset] for source, of in maps.items()},
                )
    if not kept:
        raise UserError(
            f"the yardstick finds its class in none of the {len(samples)} images: is '{model.info.name}' trained on its"
            " classes?"
        )
