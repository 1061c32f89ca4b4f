"""Measures the embedded model's quality: its drawings, its autoencoder and its attention.

Masks are only used for measuring; training never sees one.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rich.table import Table

from ..attention.generate import generate_batch
from ..attention.maps import AttentionMaps
from ..attention.photograph import capture_images, encode_images
from ..config.constants import CaptureConfig
from ..config.generate import GenerateConfig
from ..config.levels import level_name
from ..errors import UserError
from ..files.messages import make_console
from ..files.output_folders import check_writable
from ..files.outputs import write_atomic
from ..metrics.bootstrap import mean_interval
from ..metrics.mask_scores import auc, auc_rows, psnr
from ..models.groups import Layers
from ..models.hub import resolve_name
from ..models.registry import Model, load_model
from ..prompts.specs import SampleSpec
from ..report.pictures import contact_sheet, encoded
from ..report.progress import tracked
from .frechet import DRAWN, distance_to_rendered
from .scenes import CLASS_IDS, CLASSES, PLACES, Scene, caption, load_scenes
from .shapes import explained, read_templates
from .yardsticks import load_classifier, load_segmenter, recognised

GOALS = {"recognised": 0.90, "chimeras": 0.05, "chimeras_of_a_class": 0.15, "psnr": 26.0, "cross_auc": 0.95, "self_auc": 0.85}
GROUPS: tuple[Layers, ...] = ("all", "up")
MIDDLE = level_name(2)
"""The level at which cross-attention has a goal."""
BATCH = 16
ROWS = 32  # maximum number of query positions per mask (object or background), scene and level


def check_quality(
    model: str | Path,
    out: Path,
    *,
    images: int = 475,
    scenes: int = 200,
    seed: int = 0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure `model` (`mini` or a pipeline folder), write `quality.json` and `generated.png` to `out`, print the figures with their
    goals, and return the figures.

    images: number of images to generate, as `generate` draws them; classes take turns (25 each by default), and half of the prompts
    name a place. scenes: number of held-out scenes for PSNR and attention. steps, guidance_scale: None: the model's own. Raises UserError
    for fewer than 2 images, for fewer than 1 scene or more than are packaged, for an unwritable `out`, and like `load_model`.
    """
    given = {name: value for name, value in (("steps", steps), ("guidance_scale", guidance_scale)) if value is not None}
    drawing = GenerateConfig.recommended(classes=CLASSES, model=str(model), **given)
    steps, guidance_scale = drawing.steps, drawing.guidance_scale
    if images < 2:
        raise UserError(f"images = {images} must be at least 2")
    check_writable(out)
    started = time.monotonic()
    loaded = load_model(str(model), device=device, scheduler=drawing.scheduler)
    load_seconds = time.monotonic() - started
    held = load_scenes("truth", scenes)
    specs = prompts(images, seed)
    drawn = draw_images(loaded, specs, steps, guidance_scale)
    result = {
        "model": loaded.name,
        "images": images,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "scheduler": drawing.scheduler,
        "model_mb": model_megabytes(str(model)),
        "load_seconds": round(load_seconds, 2),
        "recognised": recognition(drawn, specs),
        "chimeras": chimeras(drawn, specs),
        "frechet": distance_to_rendered(np.stack(drawn)),
        "psnr": reconstruction_psnr(loaded, held),
        "auc": attention_auc(loaded, held, seed),
        "goals": GOALS,
    }
    write_atomic(out / "quality.json", (json.dumps(result, indent=2) + "\n").encode("utf-8"))
    shown = contact_sheet(drawn[: 2 * len(CLASSES)], len(CLASSES), [s.prompt for s in specs[: 2 * len(CLASSES)]])
    write_atomic(out / "generated.png", encoded(shown))
    print_quality(result, out)
    return result


class Verdict(NamedTuple):
    """One figure and its goal: a minimum, or a maximum if `most`."""

    what: str
    measured: float
    goal: float
    most: bool = False

    @property
    def met(self) -> bool:
        return self.measured <= self.goal if self.most else self.measured >= self.goal


def verdicts(result: Mapping[str, Any]) -> list[Verdict]:
    """Every figure of `check_quality` that has a goal: cross-attention at the middle level, if the model has it, and self-attention rows
    at all levels."""
    goals = result["goals"]
    worst = max(per_class := result["chimeras"]["per_class"], key=per_class.__getitem__)
    against_goals = [
        Verdict("recognised", result["recognised"]["share"], goals["recognised"]),
        Verdict("chimeras", result["chimeras"]["share"], goals["chimeras"], most=True),
        Verdict(f"chimeras of {worst}", result["chimeras"]["per_class"][worst], goals["chimeras_of_a_class"], most=True),
        Verdict("reconstruction, PSNR in dB", result["psnr"]["mean"], goals["psnr"]),
    ]
    for group, levels in result["auc"]["cross"].items():
        if MIDDLE in levels:  # a transformer has one level
            against_goals.append(Verdict(f"AUC of cross-attention at {MIDDLE}, layers {group}", levels[MIDDLE], goals["cross_auc"]))
    for kind, rows in (("self_object", "objects"), ("self_background", "the background")):
        for group, levels in result["auc"][kind].items():
            against_goals += [
                Verdict(f"AUC of self-attention of {rows} at {level}, layers {group}", value, goals["self_auc"])
                for level, value in levels.items()
            ]
    return against_goals


def print_quality(result: Mapping[str, Any], out: Path) -> None:
    """Print the figures with their goals, cross-attention at the other levels, size and load time, and the written files."""
    low, high = result["recognised"]["ci95"]
    table = Table("figure", "measured", "goal", "", title=f"{result['model']}, {result['images']} images")
    for verdict in verdicts(result):
        table.add_row(
            verdict.what, f"{verdict.measured:.3f}", f"{'≤' if verdict.most else '≥'} {verdict.goal:g}", "met" if verdict.met else "MISSED"
        )
    for group, levels in result["auc"]["cross"].items():
        for level, value in levels.items():
            if level != MIDDLE:
                table.add_row(f"AUC of cross-attention at {level}, layers {group}", f"{value:.3f}", "", "")
    console = make_console()
    console.print(table)
    drawn, frechet = result["chimeras"], result["frechet"]
    console.print(f"Recognised: 95 % interval {low:.3f}–{high:.3f}")
    console.print(
        f"Chimeras: 95 % interval {drawn['ci95'][0]:.3f}–{drawn['ci95'][1]:.3f}; one sprite explains {drawn['explained']:.3f} of an object"
    )
    console.print(
        f"Fréchet distance from rendered scenes {frechet['distance']:.2f} ({frechet['ci95'][0]:.2f}–{frechet['ci95'][1]:.2f}); "
        f"{DRAWN * len(CLASSES)} other rendered scenes have {frechet['rendered']:.2f} (with fewer images a distance is larger by itself)"
    )
    console.print(f"Lowest PSNR of a scene {result['psnr']['lowest']:.1f} dB")
    console.print(f"Size {result['model_mb']} MB, loaded in {result['load_seconds']} s")
    console.print(f"Figures: {out / 'quality.json'}   Pictures: {out / 'generated.png'}", soft_wrap=True)


def model_megabytes(name: str) -> float | None:
    """Size in MB (10⁶ bytes) of the model's folder; None for a model in the hub's cache."""
    folder = resolve_name(name)
    if isinstance(folder, str):
        return None
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def prompts(count: int, seed: int) -> list[SampleSpec]:
    """`count` samples with one class each: classes take turns, and every second round names a place."""
    places = [None, *PLACES]
    specs = []
    for index in range(count):
        name, turn = CLASSES[index % len(CLASSES)], index // len(CLASSES)
        place = places[1 + (turn // 2 + index) % len(PLACES)] if turn % 2 else None
        specs.append(SampleSpec(index, (name,), caption((name,), place), seed * 1_000_003 + index))
    return specs


def draw_images(model: Model, specs: Sequence[SampleSpec], steps: int, guidance_scale: float) -> list[np.ndarray]:
    """Generate the images for measuring recognition: (S, S, 3) uint8 each."""

    def images() -> Iterator[np.ndarray]:
        options: dict[str, Any] = {"steps": steps, "guidance_scale": guidance_scale, "negative_prompt": "", "size": None}
        for start in range(0, len(specs), BATCH):
            yield from generate_batch(model, specs[start : start + BATCH], **options, capture=CaptureConfig())[0]

    return list(tracked(images(), "generating", len(specs)))


def recognition(images: list[np.ndarray], specs: list[SampleSpec]) -> dict[str, Any]:
    """Share of images in which the classifier finds the prompted class, with its interval, and per class."""
    hits = recognised(load_classifier(), np.stack(images), [s.classes[0] for s in specs])
    per_class: dict[str, list[bool]] = defaultdict(list)
    for hit, spec in zip(hits, specs, strict=True):
        per_class[spec.classes[0]].append(bool(hit))
    return {
        "share": float(hits.mean()),
        "ci95": mean_interval(hits),
        "per_class": {c: float(np.mean(v)) for c, v in per_class.items()},
    }


def chimeras(images: list[np.ndarray], specs: list[SampleSpec]) -> dict[str, Any]:
    """Share of images in which the best sprite of the class explains less of the object than the class's threshold, with its interval,
    and per class. `explained`: the mean share of an object that the best sprite explains."""
    templates = read_templates()
    names = [s.classes[0] for s in specs]
    scores = np.array([score for score, _ in explained(np.stack(images), names, load_segmenter(), templates)])
    mixed = scores < np.array([templates.thresholds[name] for name in names])
    return {
        "share": float(mixed.mean()),
        "ci95": mean_interval(mixed),
        "per_class": {c: float(mixed[[n == c for n in names]].mean()) for c in dict.fromkeys(names)},
        "explained": float(scores.mean()),
    }


def reconstruction_psnr(model: Model, scenes: list[Scene]) -> dict[str, float]:
    """PSNR in dB of scenes after the autoencoder: mean and minimum over the scenes."""
    images = [s.image for s in scenes]
    values = [psnr(a, b) for a, b in zip(images, reconstructed(model, images), strict=True)]
    return {"mean": float(np.mean(values)), "lowest": float(np.min(values))}


@torch.inference_mode()
def reconstructed(model: Model, images: Sequence[np.ndarray]) -> np.ndarray:
    """Images (n, S, S, 3) uint8 after encoding and decoding with the model's autoencoder."""
    vae, made = model.pipe.vae, []
    for start in range(0, len(images), BATCH):
        latents = encode_images(model, list(images[start : start + BATCH])).to(device=vae.device, dtype=vae.dtype)
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
        made.append(((decoded.float() + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy())
    return np.concatenate(made)


def attention_auc(model: Model, scenes: list[Scene], seed: int) -> dict[str, Any]:
    """Mean AUC against exact masks, by group of layers and level: {"cross" | "self_object" | "self_background": {group: {level: AUC}}}.

    cross: the class word's map. self_object: rows of positions inside the object, against the object. self_background:
    rows of positions in the background, against the background.
    """
    values_of: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for start in tracked(range(0, len(scenes), BATCH), "attention", -(-len(scenes) // BATCH)):
        batch = scenes[start : start + BATCH]
        captured = capture_images(
            model,
            [s.image for s in batch],
            [s.caption for s in batch],
            [s.classes for s in batch],
            seed=seed,
            capture=CaptureConfig(),
            groups=GROUPS,
            indices=range(start, start + len(batch)),
        )
        for group, maps in captured.items():
            for index, (scene, map_) in enumerate(zip(batch, maps, strict=True)):
                rng = np.random.default_rng((seed, start + index))
                for (kind, level), values in scene_auc(scene, map_, rng).items():
                    values_of[kind, group, level] += values
    result: dict[str, Any] = {}
    for (kind, group, level), values in values_of.items():
        result.setdefault(kind, {}).setdefault(group, {})[level] = float(np.nanmean(values))
    return result


def scene_auc(scene: Scene, maps: AttentionMaps, rng: np.random.Generator) -> dict[tuple[str, str], list[float]]:
    """One scene's AUCs: (kind, level) → one value per class (cross) or one value per set of rows (self). NaN if a mask is empty."""
    values_of: dict[tuple[str, str], list[float]] = defaultdict(list)
    for grid in maps.cross_attention:
        divisor = maps.level(grid)
        for name in scene.classes:
            mask = mask_at(scene.label_map == CLASS_IDS[name], grid)
            values_of["cross", level_name(divisor)].append(auc(maps.cross_at(divisor, name).cpu().numpy(), mask))
    for grid, on_device in maps.self_attention.items():
        rows = on_device.cpu()
        level = level_name(maps.level(grid))
        for name in scene.classes:
            values_of["self_object", level].append(_row_auc(rows, mask_at(scene.label_map == CLASS_IDS[name], grid), rng))
        values_of["self_background", level].append(_row_auc(rows, mask_at(scene.label_map == 0, grid), rng))
    return values_of


def mask_at(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) bool at a map's size (h, w): True where it covers at least half of the position."""
    share = F.adaptive_avg_pool2d(torch.from_numpy(mask).float()[None, None], grid)[0, 0]
    return (share >= 0.5).numpy()


def _row_auc(rows: torch.Tensor, mask: np.ndarray, rng: np.random.Generator) -> float:
    inside = np.flatnonzero(mask)
    if not len(inside):
        return float("nan")
    picks = rng.choice(inside, min(ROWS, len(inside)), replace=False)
    return float(np.mean(auc_rows(rows[torch.from_numpy(picks)].numpy(), mask.ravel())))
