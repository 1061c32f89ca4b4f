"""Reads exported datasets with the tools that they are for, and compares each tool's label maps with the originals,
pixel by pixel.

    PYTHONPATH=src python benchmarks/readers.py --install /tmp/tools    # an environment per tool: gigabytes, minutes
    PYTHONPATH=src SEEDIFF_TOOLS=/tmp/tools python benchmarks/readers.py --json docs/readers.json

The tools' pinned dependencies conflict with each other and with SeeDiff's. So each tool has its own environment,
`TOOL/` in the folder that SEEDIFF_TOOLS names, where readers/by_tools.py runs without SeeDiff. A tool that
is neither there nor in SeeDiff's environment is left out, and a line says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seediff.config.class_names import VOC_CLASSES
from seediff.dataset.encoding import encode_image
from seediff.dataset.formats.exporting import export
from seediff.dataset.formats.format_table import FORMATS, FormatName
from seediff.dataset.sample import Sample

PROGRAM = Path(__file__).parent / "readers" / "by_tools.py"
CLASSES = ("cat", "dog", "bus")
PACKAGES = {
    "datumaro": "datumaro",
    "labelstudio": "label-studio-sdk",
    "ultralytics": "ultralytics",
    "fiftyone": "fiftyone",
    "labelme": "labelme",
}
"""Tool → its package, which has a module of the same name."""
SOURCES = {"labelme": "labelme<6"}
"""What pip installs, where that is not the package."""
QUIET = {"YOLO_OFFLINE": "true", "FIFTYONE_DISABLE_SERVICES": "1", "FIFTYONE_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
"""Environment variables that keep the tools from using the network and their databases."""


@dataclass(frozen=True)
class Reading:
    """A format, the options of its export, and the tool that reads it. kind: the tool's name for the format. lost: the
    loss, in words.
    """

    format: FormatName
    tool: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    lost: str = ""

    @property
    def name(self) -> str:
        return f"{self.label or self.format} by {self.tool}"


NO_NAMES = "names of classes: without a labelmap.txt Datumaro takes VOC's"
NO_IGNORE = "255: objects have no such thing, and it is background"
READINGS = (
    Reading("masks", "ultralytics", "semantic"),
    Reading("masks", "fiftyone", "segmentation"),
    Reading("cvat", "datumaro", "cvat"),
    Reading("labelstudio", "labelstudio", "brush"),
    Reading("voc", "datumaro", "voc_segmentation", lost=NO_NAMES),
    Reading("coco", "datumaro", "coco_instances", lost=NO_IGNORE),
    Reading("labelme", "labelme", "mask"),
    Reading("labelme", "labelme", "polygon", {"polygons": True}, "labelme --polygons"),
)


def interpreter(tool: str) -> str | None:
    """The Python that has a tool: the one in the tool's environment below SEEDIFF_TOOLS, or else this one. None if
    neither has it.
    """
    if folder := os.environ.get("SEEDIFF_TOOLS"):
        python = Path(folder, tool, "bin", "python")
        if python.is_file():
            return str(python)
    return sys.executable if importlib.util.find_spec(module(tool)) else None


def module(tool: str) -> str:
    return PACKAGES.get(tool, tool).replace("-", "_")


def samples(count: int = 4, shape: tuple[int, int] = (64, 80)) -> list[Sample]:
    """PNG and JPEG pictures in two folders and two splits, with label maps of every class, holes and 255."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(count):
        small = rng.choice(np.array([0, 0, 1, 2, 3, 255], np.uint8), (shape[0] // 4, shape[1] // 4))
        labels = np.kron(small, np.ones((4, 4), np.uint8))
        rows, columns = (rng.integers(0, side, 40) for side in shape)
        labels[rows, columns] = rng.integers(0, 4, 40)  # pieces of one pixel
        suffix = ("png", "jpg")[number % 2]
        image = np.asarray(Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8)).resize((shape[1], shape[0])))
        name, split = f"{'trip/' * (number == 3)}{number:06d}", ("train", "val")[number == 2]
        items.append(Sample(encode_image(image, suffix), labels, row={"split": split}, name=name))
    return items


def read(reading: Reading, items: Sequence[Sample], folder: Path) -> dict[str, np.ndarray]:
    """Export the samples and read them with the tool; returns sample name → label map. Raises RuntimeError with the end
    of its stderr.
    """
    python = interpreter(reading.tool)
    assert python is not None
    out = folder / "read.npz"
    export(reading.format, CLASSES, items, folder / "set", **reading.options)
    classes = VOC_CLASSES[: len(CLASSES)] if reading.lost == NO_NAMES else CLASSES
    words = [python, str(PROGRAM), reading.tool, reading.kind, str(folder / "set"), json.dumps(classes), str(out)]
    places = dict.fromkeys(("HOME", "YOLO_CONFIG_DIR", "FIFTYONE_DATABASE_DIR", "HF_HOME"), str(folder))
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, env={**kept, **QUIET, **places}, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{reading.name}: {done.stderr.strip()[-2000:]}")
    with np.load(out) as maps:
        return {name: maps[name] for name in maps.files}


def compare(reading: Reading, items: Sequence[Sample], maps: dict[str, np.ndarray]) -> tuple[int, int]:
    """The number of pixels that differ, and the number of all pixels. A label map that was not read differs
    everywhere.
    """
    differing = pixels = 0
    for item in items:
        truth = item.label_map
        if reading.lost == NO_IGNORE:
            truth = np.where(truth == 255, np.uint8(0), truth)
        name = item.name.replace("/", "_") if FORMATS[reading.format].flat else item.name
        found = maps.get(name)
        pixels += truth.size
        differing += truth.size if found is None or found.shape != truth.shape else int((found != truth).sum())
    return differing, pixels


def version(tool: str) -> str:
    package = PACKAGES.get(tool, tool)
    command = f"import importlib.metadata as m; print(m.version({package!r}))"
    said = subprocess.run([str(interpreter(tool)), "-c", command], capture_output=True, text=True, check=True).stdout
    return f"{package} {said.strip()}"


def install(folder: Path) -> None:
    for tool, package in PACKAGES.items():
        subprocess.run([sys.executable, "-m", "venv", str(folder / tool)], check=True)
        subprocess.run(
            [str(folder / tool / "bin" / "pip"), "install", "--quiet", SOURCES.get(tool, package)], check=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", type=Path, metavar="DIR", help="make the tools' environments there, and end")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.install:
        return install(given.install)
    rows: list[dict[str, Any]] = []
    items = samples(12)
    print("| format | reader | pixels | differing | lost |\n|---|---|---|---|---|")
    for reading in READINGS:
        if interpreter(reading.tool) is None:
            print(f"{reading.name}: left out: no {module(reading.tool)} here, nor below SEEDIFF_TOOLS")
            continue
        with tempfile.TemporaryDirectory() as folder:
            differing, pixels = compare(reading, items, read(reading, items, Path(folder)))
        shown = {"format": reading.label or reading.format, "reader": f"{version(reading.tool)}, {reading.kind}"}
        rows.append({**shown, "pixels": pixels, "differing": differing, "lost": reading.lost})
        print(
            f"| `{shown['format']}` | {shown['reader']} | {pixels:,} | {differing} | {reading.lost or 'nothing'} |",
            flush=True,
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
