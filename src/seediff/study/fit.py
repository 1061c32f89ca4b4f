"""`seediff study fit`: photographs of 4:3 and 3:4 shown to the model in their own shape, squeezed into its square, or cut to one.

The scenes are held out and their masks exact. Masks are of the classes that a scene shows, by the sentences of `seediff mask`; segments are
by the constants of the model, counted by DiffSeg's protocol. Every way is compared with squeezing on the same scenes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress
from rich.table import Table

from ..attention.fit import batches_by_shape, cut, seen_shape, windows
from ..attention.photograph import capture_classes, encode_images
from ..config.constants import SegmentConfig
from ..config.photographs import Fit, MaskPhotosConfig
from ..config.presets import segment_preset
from ..config.sizes import Size
from ..files.outputs import check_writable
from ..files.terminal import make_console
from ..masks.make import IGNORE, label_pixels, make_masks
from ..metrics.bootstrap import mean_interval
from ..metrics.matching import Tally, contingency, match, tally
from ..metrics.scores import accuracy, class_iou, differences, mean_iou, overlap, stack
from ..mini.world.packaged import load_scenes
from ..mini.world.scene import CLASS_IDS, Scene
from ..models.registry import Model, load_model
from ..segments.make import make_segments
from ..segments.naming import split_prompts
from .bars import study_progress
from .results import write_tables

BATCH = 16
AGAINST = "resize"
"""The way that the others are compared with."""
TITLES = {
    "keep": "own shape, as many positions as the square",
    "keep, longer side": "own shape, longer side as the model's",
    "resize": "squeezed into the square",
    "crop": "centred square; outside counts as background",
}


@dataclass
class Way:
    """How one way did. iou: of each (scene, class) pair; scenes: the pair's; tallies: of each scene's segments. shape: at which the first
    scene was seen."""

    fit: Fit
    size: Size | None
    iou: list[float] = field(default_factory=list)
    scenes: list[int] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    shape: tuple[int, int] = (0, 0)


def run_fit(
    scenes: int = 120,
    out: Path = Path("fit-study"),
    *,
    model: str = "mini",
    json_path: Path | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure every way on the first `scenes` of the set `wide`; write tables to `out`; return the result.

    Raises UserError: more scenes asked for than there are, an unknown model, no place to write to.
    """
    held = load_scenes("wide", scenes)
    check_writable(out, json_path)
    loaded = load_model(model, device=device)
    config = MaskPhotosConfig.recommended(classes=tuple(CLASS_IDS), model=model)
    segment = SegmentConfig(**segment_preset(model).get("segment", {}))
    ways = _ways(loaded, held[0])
    with study_progress() as progress:
        for name, way in ways.items():
            _measure(loaded, held, way, config, segment, seed, progress, name)
    result = {
        "model": loaded.name,
        "scenes": len(held),
        "pairs": len(ways[AGAINST].iou),
        "timesteps": list(config.timesteps),
        "mask": asdict(config.mask),
        "segment": asdict(segment),
        "seed": seed,
        "ways": {name: figures(way, ways[AGAINST]) for name, way in ways.items()},
    }
    write_tables(out, result, markdown(result), [{"way": name, **row} for name, row in result["ways"].items()], json_path)
    return result


def _ways(model: Model, scene: Scene) -> dict[str, Way]:
    long, short = max(scene.image.shape[:2]), min(scene.image.shape[:2])
    smaller = math.ceil(model.image_side * (short / long) ** 0.5)
    return {
        "keep": Way("keep", None),
        "keep, longer side": Way("keep", smaller),
        "resize": Way("resize", None),
        "crop": Way("crop", None),
    }


def _measure(
    model: Model,
    scenes: Sequence[Scene],
    way: Way,
    config: MaskPhotosConfig,
    segment: SegmentConfig,
    seed: int,
    progress: Progress,
    name: str,
) -> None:
    task = progress.add_task(name, total=len(scenes))
    shapes = [seen_shape(model, scene.image.shape, way.fit, way.size) for scene in scenes]
    way.shape = shapes[0]
    found: dict[int, tuple[list[float], Tally]] = {}
    for together in batches_by_shape(shapes, BATCH):
        some = [scenes[i] for i in together]
        masks = _masks(model, some, shapes[together[0]], way.fit, config, seed, together)
        divided = make_segments(model, [scene.image for scene in some], segment, fit=way.fit, size=way.size, batch_size=BATCH)
        for i, scene, labels, segments in zip(together, some, masks, divided, strict=True):
            table = contingency(segments.label_map, scene.label_map.astype(np.int32), max(CLASS_IDS.values()) + 1)
            found[i] = list(_overlaps(scene, labels)), tally(table, match([table]))
            progress.advance(task)
    for i in range(len(scenes)):  # in the scenes' order, whatever went together
        values, counts = found[i]
        way.iou += values
        way.scenes += [i] * len(values)
        way.tallies.append(counts)


def _masks(
    model: Model, scenes: Sequence[Scene], shape: tuple[int, int], fit: Fit, config: MaskPhotosConfig, seed: int, indices: Sequence[int]
) -> Iterator[np.ndarray]:
    """Label maps (H, W) uint8 of scenes that are seen at one shape, i + 1 = the scene's class i."""
    areas = [windows(scene.image.shape[0], scene.image.shape[1], fit)[0] for scene in scenes]
    seen = [cut(scene.image, area, shape) for scene, area in zip(scenes, areas, strict=True)]
    maps = capture_classes(
        model,
        encode_images(model, seen),
        [split_prompts(model.readers, scene.classes, config.prompts[0]) for scene in scenes],
        timesteps=config.timesteps,
        seed=seed,
        capture=config.capture,
        indices=indices,
    )
    for scene, area, picture, one in zip(scenes, areas, seen, maps, strict=True):
        small = make_masks(picture, one, scene.classes, config.mask, trace=False)
        labels = np.zeros(scene.label_map.shape, np.uint8)
        labels[area.slices] = label_pixels(small.soft, config.mask, (area.height, area.width)).numpy()
        yield labels


def _overlaps(scene: Scene, labels: np.ndarray) -> Iterator[float]:
    """IoU of each of a scene's classes."""
    for number, name in enumerate(scene.classes, 1):
        predicted, exact = (labels == number) & (labels != IGNORE), scene.label_map == CLASS_IDS[name]
        yield float(overlap(np.array((predicted & exact).sum()), np.array((predicted | exact).sum())))


def figures(way: Way, against: Way) -> dict[str, Any]:
    """Mean IoU of masks over (scene, class) pairs, accuracy and mIoU of segments, and both less what `against` has, with paired 95 %
    bootstrap intervals over scenes."""
    values, other, scenes = np.array(way.iou), np.array(against.iou), np.array(way.scenes)
    counts = stack(way.tallies)
    (ahead,) = differences(counts, [stack(against.tallies)])
    tp, fp, fn = counts.tp.sum(0), counts.fp.sum(0), counts.fn.sum(0)
    return {
        "seen": f"{way.shape[1]}x{way.shape[0]}",
        "mask_iou": _short(values.mean()),
        "mask_iou_ci95": [_short(v) for v in mean_interval(values, scenes)],
        "mask_ahead": _short((values - other).mean()),
        "mask_ahead_ci95": [_short(v) for v in mean_interval(values - other, scenes)],
        "segment_acc": _short(accuracy(tp, counts.pixels.sum())),
        "segment_miou": _short(mean_iou(class_iou(tp, fp, fn))),
        "segment_ahead": _short(ahead.miou),
        "segment_ahead_ci95": [_short(v) for v in ahead.miou_ci95],
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        "# Photographs in their own shape",
        "",
        ", ".join(f"{key} {result[key]}" for key in ("model", "scenes", "pairs")),
        "",
        "Mask IoU: mean over (scene, class) pairs. Segments: mIoU by DiffSeg's protocol. Less squeezed: the difference, with its paired"
        " 95 % bootstrap interval over scenes.",
        "",
        "| how a photograph is seen | the first at | mask IoU | less squeezed | segments | less squeezed |",
        "|" + "---|" * 6,
        *("| " + " | ".join(_cells(name, row)) + " |" for name, row in result["ways"].items()),
    ]
    return "\n".join(lines) + "\n"


def show(result: Mapping[str, Any], out: Path) -> None:
    """Print the table and where everything is."""
    table = Table("seen", "at", "mask IoU", "less squeezed", "segments", "less squeezed")
    for name, row in result["ways"].items():
        table.add_row(*_cells(name, row))
    console = make_console()
    console.print(table)
    console.print(f"Tables: {out / 'results.md'}   JSON: {out / 'results.json'}", soft_wrap=True)


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    ahead = [
        "–" if name == AGAINST else "{:+.3f} [{:+.3f}, {:+.3f}]".format(row[f"{kind}_ahead"], *row[f"{kind}_ahead_ci95"])
        for kind in ("mask", "segment")
    ]
    return [TITLES[name], row["seen"], f"{row['mask_iou']:.3f}", ahead[0], f"{row['segment_miou']:.3f}", ahead[1]]


def _short(value: Any) -> float:
    return round(float(value), 4)
