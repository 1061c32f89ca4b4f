"""How often a mask is wrong in drawings of several classes: without redrawing, and in the set that `generate` leaves.

python -m recipes.drawn_classes OUT --seed 1 [--sets two,similar,three,one] [--images 95] [--guidance-scale 4]

Wrong: a class's mask has an IoU below 0.5 with the yardstick's. Writes what is known of each draw
(OUT/draws.json), counts of each set (results.json) and the images in which a mask stays wrong (wrong.jpg). Prints the
rows of docs/truth.md. Per-class counts follow from the number of images. One image takes 1 to 3 s of a core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from cyclopts import App

from recipes.mini.yardstick import iou, load_segmenter, segment_known
from seediff.config.runs import GenerateConfig
from seediff.drawing.overlays import contact_sheet, overlay
from seediff.files.image_files import compress_image
from seediff.files.outputs import write_atomic
from seediff.mini.scenes import CLASS_IDS, CLASSES
from seediff.prompts.specs import SampleSpec
from seediff.run.generate_job import DrawnSample, GenerateJob
from seediff.run.job import Ready

SETS = {
    "one": (CLASSES, 1),
    "two": (CLASSES, 2),
    "three": (CLASSES, 3),
    "similar": (("dog", "cat", "cow", "horse", "sheep", "person"), 2),
}
"""Name → the classes, and their number in an image."""
NAMES = {
    "one": "one class",
    "two": "two random classes",
    "three": "three random classes",
    "similar": "two of the six animals and persons",
}
COUNTED = ("wrong at first", "of these redrawn", "right ones redrawn", "wrong in the set", "kept")
WRONG = 0.5
"""The IoU below which a mask is wrong."""


@dataclass(frozen=True, eq=False)
class RecordedJob(GenerateJob):
    """`generate`, which keeps what it draws, also what it rejects."""

    draws: list[DrawnSample] = field(default_factory=list)

    def drawn(self, ready: Ready, specs: Sequence[SampleSpec]) -> Iterator[DrawnSample]:
        for sample in super().drawn(ready, specs):
            self.draws.append(sample)
            yield sample


def measure(job: RecordedJob, name: str, tiles: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """What is known of each draw: its place, attempt, flags, confidence, IoU by class and whether it was kept. What is
    kept and wrong is added to `tiles`."""
    ready, yardstick = job.load(), load_segmenter()
    for items in job.batches.values():
        job.draws.clear()
        job.make(ready, items)
        known = segment_known(
            yardstick, np.stack([draw.image for draw in job.draws]), [d.spec.classes for d in job.draws]
        )
        for draw, exact in zip(job.draws, known, strict=True):
            spec, image = draw.spec, draw.image
            masks = draw.masks or job.masks(ready, spec, image, draw.attention)
            found = [iou(masks.label_map == n, exact == CLASS_IDS[of]) for n, of in enumerate(spec.classes, 1)]
            kept = not (len(spec.classes) > 1 and job.reasons_to_reject(draw._replace(masks=masks)))
            about = {"flags": masks.flags, "confidence": list(masks.confidence.values()), "iou": found, "kept": kept}
            yield {"index": spec.index, "attempt": spec.attempt, "classes": spec.classes, **about}
            if kept and min(found) < WRONG:
                tiles[f"{name} {spec.index}: {', '.join(spec.classes)}"] = np.hstack(
                    [image, overlay(image, masks.label_map)]
                )


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts [part, whole] of a set's draws, and means."""
    first, kept = [r for r in rows if r["attempt"] == 0], [r for r in rows if r["kept"]]
    wrong, right = ([r for r in first if (min(r["iou"]) < WRONG) == is_wrong] for is_wrong in (True, False))
    return {
        "wrong at first": [len(wrong), len(first)],
        "of these redrawn": [sum(not r["kept"] for r in wrong), len(wrong)],
        "right ones redrawn": [sum(not r["kept"] for r in right), len(right)],
        "wrong in the set": [sum(min(r["iou"]) < WRONG for r in kept), len(kept)],
        "kept": [len(kept), len(first)],
        "draws": round(len(rows) / len(kept), 2),
        "iou at first": round(float(np.mean([x for r in first for x in r["iou"]])), 3),
        "iou in the set": round(float(np.mean([x for r in kept for x in r["iou"]])), 3),
    }


def share(part: int, whole: int) -> str:
    """`3/60 = 5 % (2–14)`, with the 95 % Wilson interval."""
    if not whole:
        return "0/0"
    p, z = part / whole, 1.96
    middle, reach = p + z * z / (2 * whole), z * sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))
    low, high = ((middle + sign * reach) / (1 + z * z / whole) for sign in (-1, 1))
    return f"{part}/{whole} = {100 * p:.0f} % ({100 * max(low, 0):.0f}–{100 * high:.0f})"


def row(name: str, counts: dict[str, Any]) -> str:
    """A row of the table in docs/truth.md."""
    shares = [share(*counts[key]) for key in COUNTED]
    means = f"{counts['iou at first']:.2f} → {counts['iou in the set']:.2f}"
    return f"| {' | '.join([NAMES[name], *shares, str(counts['draws']), means])} |"


app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    out: Path,
    *,
    seed: int = 1,
    sets: str = "two,similar,three,one",
    images: int = 95,
    guidance_scale: float | None = None,
    attempts: int | None = None,
) -> None:
    """Draw the sets and print their rows."""
    draws = dict[str, list[dict[str, Any]]]()
    results = dict[str, Any]()
    tiles = dict[str, np.ndarray]()
    given = {"guidance_scale": guidance_scale, "attempts": attempts}
    given = {key: value for key, value in given.items() if value is not None}
    for name in sets.split(","):
        classes, together = SETS[name]
        per_class = max(1, round(images * together / len(classes)))
        values = {"classes": classes, "classes_per_image": together, "seed": seed, "device": "cpu", **given}
        job = RecordedJob(GenerateConfig.recommended(**values, per_class=per_class))
        draws[name] = []
        for draw in measure(job, name, tiles):
            draws[name].append(draw)
            write_atomic(out / "draws.json", json.dumps(draws).encode())
        results[name] = summarize(draws[name])
        print(row(name, results[name]), flush=True)
        write_atomic(
            out / "results.json", (json.dumps({"seed": seed, **given, "sets": results}, indent=1) + "\n").encode()
        )
    if tiles:
        sheet = contact_sheet(list(tiles.values()), 4, list(tiles))
        write_atomic(out / "wrong.jpg", compress_image(sheet, "JPEG", quality=85))


if __name__ == "__main__":
    app()
