"""Masks of photographs by a model with real weights, against label maps: four methods, each told the photograph's own
classes, and each told all classes and left to find out which are there.

    out/  figures.json   scores, versions, device, commands     photographs.jpg   masks of the first photographs
          METHOD-told/, METHOD-found/   datasets of `seediff mask`, which continue where they were stopped
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seediff.cli.main import main as seediff
from seediff.dataset.dataset import Dataset, open_truths
from seediff.devices import default_device
from seediff.drawing.overlays import compress_image, contact_sheet, fit_side, overlay
from seediff.errors import UserError
from seediff.evaluate.evaluation import evaluate
from seediff.files.label_maps import IGNORE
from seediff.files.outputs import check_writable, write_atomic

from .settings import CONTEST

METHODS = ("seediff", "ca", "ca_sa", "daam")
WAYS = ("told", "found")
"""Which classes are looked for: the photograph's own, with a presence threshold of 0, or all."""
SHEET, SIDE = 8, 192
"""Photographs in the picture, and the longer side of each."""


def run_photographs(
    out: Path, data: Path, *, model: str, count: int = 200, device: str | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Measure the methods on the first `count` photographs of the validation part of `data`, a labelled set such as
    VOCdevkit/VOC2012. Says first how many hours it takes; dry_run: and nothing more.

    Raises UserError: data or a model that cannot be used, or no place to write to.
    """
    check_writable(out)
    truths, device = open_truths(data)[:count], device or default_device()
    if any(not isinstance(sample.source, Path) for sample in truths):
        raise UserError(data, "has label maps without pictures", "name the folder that has both")
    always = ["--model", model, "--device", device]
    hours = sum(seconds_each(truths, way, always) for way in WAYS) * len(METHODS) * len(truths) / 3600
    print(f"{len(truths)} photographs, {2 * len(METHODS)} times: about {hours:.1f} hours on {device}", flush=True)
    if dry_run:
        return {}
    rows = {}
    for name, method, way in ((f"{method}-{way}", method, way) for way in WAYS for method in METHODS):
        options = [*always, "--method", method, *classes_of(truths, way, out)]
        mask(truths, options, out / name)
        scores = evaluate(out / name, truths, boundary=False).scores.table()
        rows[name] = {"method": method, "classes": way, "options": options, **scores}
    packages = ("seediff", "torch", "diffusers", "transformers")
    about = {"model": model, "data": truths.about, "photographs": len(truths), "device": device_name(device)}
    result = {**about, "versions": {name: version(name) for name in packages}, "rows": rows}
    write_atomic(out / "figures.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomic(out / "photographs.jpg", compress_image(draw(out, truths), "JPEG", quality=85))
    return result


def classes_of(truths: Dataset, way: str, folder: Path) -> list[str]:
    """The options of `mask` that say which classes to look for; a table of them is written into the folder."""
    if way == "found":
        return ["--classes", ",".join(truths.classes)]
    lines = [["file", "classes"]]
    for sample in truths:
        shown = [truths.names[number] for number in np.unique(sample.unchecked_labels()) if 0 < number < IGNORE]
        lines.append([Path(str(sample.source)).name, ",".join(shown)])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "classes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    return ["--classes", str(folder / "classes.csv"), "--presence", "0"]


def mask(truths: Dataset, options: Sequence[str], out: Path) -> None:
    """`seediff mask` of the photographs. Raises UserError if it fails."""
    if code := seediff(["mask", *(str(sample.source) for sample in truths), *options, "--out", str(out), "--quiet"]):
        raise UserError(out, f"`seediff mask` ended with exit code {code}", "its line above says why")


def seconds_each(truths: Dataset, way: str, options: Sequence[str]) -> float:
    """What a photograph more takes; on a busy machine, at most this."""
    took = []
    for few in (truths[:1], truths[:2]):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            mask(few, [*options, *classes_of(few, way, Path(folder))], Path(folder) / "out")
            took.append(time.monotonic() - begun)
    more = took[1] - took[0]
    return more if more > 0 else took[1]


def device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def draw(out: Path, truths: Dataset) -> np.ndarray:
    """A row for each of the first photographs: its label map, then each method's masks of its own classes."""
    masks: Mapping[str, Dataset] = {CONTEST[name].title: Dataset.open(out / f"{name}-told") for name in METHODS}
    by_name = {title: {sample.name: sample for sample in found} for title, found in masks.items()}
    tiles, labels = [], []
    for truth in truths[:SHEET]:
        image = fit_side(truth.image, SIDE, Image.Resampling.LANCZOS)
        maps = {"label map": truth.unchecked_labels()}
        maps |= {title: found[truth.name].label_map for title, found in by_name.items()}
        tiles += [overlay(image, fit_side(ids, SIDE, Image.Resampling.NEAREST)) for ids in maps.values()]
        labels += list(maps)
    return contact_sheet(tiles, 1 + len(METHODS), labels)
