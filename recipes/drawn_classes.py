"""How often a mask is wrong in drawings of several classes: without redrawing, and in the set that `generate` leaves.

python -m recipes.drawn_classes OUT --seed 1 [--sets two,three,similar,one] [--images 95] [--guidance-scale 4]

Wrong: a class's mask has an IoU below 0.5 with the yardstick's. Writes OUT/SET.json after each batch, and OUT/SET.jpg,
the images in which a mask stays wrong. Prints a row of docs/truth.md for each set. Per-class counts follow from the
number of images. One image takes 1 to 3 s of a core.
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
from seediff.config.generate_config import GenerateConfig
from seediff.drawing.overlays import compress_image, contact_sheet, overlay
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


@dataclass(frozen=True, eq=False)
class RecordedJob(GenerateJob):
    """`generate`, which keeps what it draws, also what it rejects."""

    draws: list[DrawnSample] = field(default_factory=list)

    def drawn(self, ready: Ready, specs: Sequence[SampleSpec]) -> Iterator[DrawnSample]:
        for sample in super().drawn(ready, specs):
            self.draws.append(sample)
            yield sample


def measure(job: RecordedJob, out: Path, name: str) -> list[dict[str, Any]]:
    """What is known of each draw: its place, attempt, flags, agreement, IoU by class and whether it was kept."""
    ready, yardstick, rows, tiles, labels = job.load(), load_segmenter(), [], [], []
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
            about = {"flags": masks.flags, "agreement": list(masks.agreement.values()), "iou": found, "kept": kept}
            rows.append({"index": spec.index, "attempt": spec.attempt, "classes": spec.classes, **about})
            if kept and min(found) < 0.5:
                tiles.append(np.hstack([image, overlay(image, masks.label_map)]))
                labels.append(f"{spec.index}: {', '.join(spec.classes)}")
        write_atomic(out / f"{name}.json", json.dumps(rows).encode())
    if tiles:
        write_atomic(out / f"{name}.jpg", compress_image(contact_sheet(tiles, 4, labels), "JPEG", quality=85))
    return rows


def share(part: int, whole: int) -> str:
    """`3/60 = 5 % (2–14)`, with the 95 % Wilson interval."""
    p, z = part / max(whole, 1), 1.96
    middle, reach = p + z * z / (2 * whole), z * sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))
    low, high = ((middle + sign * reach) / (1 + z * z / whole) for sign in (-1, 1))
    return f"{part}/{whole} = {p:.0%} ({max(low, 0):.0%}–{high:.0%})".replace("%", " %")


def row(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """A row of the table in docs/truth.md."""
    first, kept = [r for r in rows if r["attempt"] == 0], [r for r in rows if r["kept"]]
    wrong, right = ([r for r in first if (min(r["iou"]) < 0.5) == is_wrong] for is_wrong in (True, False))
    cells = [
        share(len(wrong), len(first)),
        share(sum(not r["kept"] for r in wrong), max(len(wrong), 1)),
        share(sum(not r["kept"] for r in right), max(len(right), 1)),
        share(sum(min(r["iou"]) < 0.5 for r in kept), len(kept)),
        f"{len(kept)}/{len(first)}",
        f"{len(rows) / len(kept):.2f}",
        f"{np.mean([x for r in first for x in r['iou']]):.3f} → {np.mean([x for r in kept for x in r['iou']]):.3f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


app = App(help=__doc__, help_format="plaintext")


@app.default
def main(
    out: Path,
    *,
    seed: int = 1,
    sets: str = "two,three,similar,one",
    images: int = 95,
    guidance_scale: float | None = None,
) -> None:
    """Draw the sets and print their rows."""
    print(
        "| set | wrong at first | of these redrawn | right ones redrawn | wrong in the final set | kept | draws | IoU |"
    )
    for name in sets.split(","):
        classes, together = SETS[name]
        values = {"classes": classes, "classes_per_image": together, "seed": seed, "device": "cpu"}
        if guidance_scale is not None:
            values["guidance_scale"] = guidance_scale
        per_class = max(1, round(images * together / len(classes)))
        config = GenerateConfig.recommended(**values, per_class=per_class)
        print(row(name, measure(RecordedJob(config), out, name)), flush=True)


if __name__ == "__main__":
    app()
