"""Speed of encoding label maps as COCO's RLE and as PNG on one core, compared with the usual way: one mask per class, or per connected
piece of a class, encoded by pycocotools. Also the speed of whole exports and imports.

    python benchmarks/formats.py                # about a minute on one core
    python benchmarks/formats.py --rounds 3

Label maps have 512² pixels and all of 21 classes: overlapping discs, like objects in pictures, and smooth random regions with frayed edges.
Times are for five such maps. Floors are lower bounds: for RLE, comparing every pixel with the next to find where runs begin; for PNG, only
compressing the pixels. scipy's single pass that labels the pieces of all classes together is shown for comparison.
Exports are timed without the start of the command, for 200 images of 512² with JPEG pictures, which are linked if the format keeps pictures
as files. `decoding` is only reading each label map and checking its size and ids. What "two workers leave" is the CPU time of the first
process.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import timing
from PIL import Image
from pycocotools import mask as pycocotools_mask
from scipy import ndimage

from seediff.dataset.conversions import export_options
from seediff.dataset.formats.coco import instances, semantic
from seediff.dataset.formats.drivers import export, read_format
from seediff.dataset.formats.known import FormatName
from seediff.dataset.native import encode_image, encode_mask
from seediff.dataset.sample import Sample
from seediff.dataset.shapes.rle import label_map_rles
from seediff.dataset.store import open_native, write_native

SIDE, CLASSES = 512, 21


def main() -> None:
    parser = timing.parser(__doc__, rounds=20, clock="process", threads=1)
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    session = timing.Session.begin(given)
    rng = np.random.default_rng(0)
    kinds = {
        "discs": [discs(rng) for _ in range(5)],
        "frayed": [rng.permutation(CLASSES).astype(np.uint8)[smooth_regions(rng)] for _ in range(5)],
    }
    per_class: dict[str, Callable[[np.ndarray], Any]] = {
        "RLE of a label map": label_map_rles,
        "its floor: where runs begin": run_begins,
        "COCO annotations, semantic": semantic,
        "PNG mask": encode_mask,
        "its floor: zlib's runs alone": zlib_runs,
        "pycocotools": one_a_class,
    }
    per_object = {"COCO annotations, objects": instances, "scipy's pieces alone": scipy_pieces, "scipy, pycocotools": one_a_piece}
    for kind, maps in kinds.items():
        for labels in maps:
            theirs, ours = one_a_class(labels), label_map_rles(labels)
            assert {i: rle["counts"].encode() for i, rle in ours.items()} == {i: rle["counts"] for i, rle in theirs.items()}
            pieces = [(row["category_id"], row["segmentation"]["counts"].encode()) for row in instances(labels)[0]]
            assert pieces == [(class_id, rle["counts"]) for class_id, rle in one_a_piece(labels)]

        def over(function: Callable[[np.ndarray], Any], maps: Sequence[np.ndarray] = maps) -> Callable[[], object]:
            return lambda: [function(labels) for labels in maps]

        session.compare(f"{kind}, a mask per class", {name: over(way) for name, way in per_class.items()}, "pycocotools")
        ways = {name: over(way) for name, way in per_object.items()}
        session.compare(f"{kind}, a mask per object", ways, "scipy, pycocotools", rounds=max(1, given.rounds // 10))
    export_rates(kinds["discs"], given.images)
    import_rates(kinds["discs"], given.images, min(given.rounds, 3))
    session.end(given)


def smooth_regions(rng: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE) index of the highest of CLASSES smooth random fields, with a little noise to fray the edges."""
    fields = [
        np.asarray(Image.fromarray(rng.standard_normal((6, 6)).astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        + 0.02 * rng.standard_normal((SIDE, SIDE))
        for _ in range(CLASSES)
    ]
    return np.argmax(fields, axis=0)


def one_a_class(labels: np.ndarray) -> dict[int, Any]:
    return {int(i): pycocotools_mask.encode(np.asfortranarray((labels == i).astype(np.uint8))) for i in np.unique(labels)}


def one_a_piece(labels: np.ndarray) -> list[tuple[int, Any]]:
    """(class, RLE) of each connected piece, ordered by class, then by first pixel in column order."""
    found = []
    for class_id in range(1, CLASSES):
        pieces, count = ndimage.label((labels == class_id).T, np.ones((3, 3)))  # type: ignore[misc]
        found += [(class_id, pycocotools_mask.encode((pieces == number).T.astype(np.uint8, order="F"))) for number in range(1, count + 1)]
    return found


def run_begins(labels: np.ndarray) -> np.ndarray:
    return np.flatnonzero(labels[1:] != labels[:-1])


def scipy_pieces(labels: np.ndarray) -> Any:
    return ndimage.label(labels > 0, np.ones((3, 3)))


def zlib_runs(labels: np.ndarray) -> bytes:
    """The floor of PNG: only the compression of the pixels."""
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return compressor.compress(labels.data) + compressor.flush()


def discs(rng: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE) uint8: an ellipse of every class but 0, later ellipses over earlier ones."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for class_id in rng.permutation(CLASSES - 1) + 1:
        (top, left), radius, shape = rng.integers(0, SIDE, 2), rng.integers(40, 120), rng.uniform(0.5, 1.5)
        labels[(y - top) ** 2 * shape + (x - left) ** 2 < radius**2] = class_id
    return labels


def export_rates(maps: Sequence[np.ndarray], count: int) -> None:
    classes = [f"class {i}" for i in range(1, CLASSES)]
    picture = encode_image(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8), "jpg")
    items = [Sample(picture, partial(np.copy, maps[i % len(maps)]), name=f"{i:06d}") for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        write_native(Path(folder) / "native", classes, items, about={})
        _, found = open_native(Path(folder) / "native")
        wall, cpu = took(lambda: [item.labels(CLASSES) for item in found])
        print(f"decoding    of {count} images: {count / wall:5.0f}/s; {count / cpu:5.0f}/s of CPU time", flush=True)
        for name in get_args(FormatName):
            link = "link" in export_options(name)
            wall, cpu = took(partial(export, name, classes, found, Path(folder) / name, link=link))
            _, left = took(partial(export, name, classes, found, Path(folder) / f"{name}-2", workers=2, link=link))
            shown = f"{name:11} of {count} images: {count / wall:5.0f}/s; {count / cpu:5.0f}/s of CPU time"
            print(f"{shown}; two workers leave {1000 * left / count:.2f} ms an image", flush=True)


def import_rates(maps: Sequence[np.ndarray], count: int, rounds: int) -> None:
    """Print rates of whole imports, from reading to writing, with one and two workers in turn; pictures are linked."""
    classes = [f"class {i}" for i in range(1, CLASSES)]
    picture = encode_image(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8), "jpg")
    items = [Sample(picture, partial(np.copy, maps[i % len(maps)]), name=f"{i:06d}") for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("voc", "coco", "yolo"):
            export(name, classes, items, Path(folder) / name)
            times: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
            for turn in range(2 * rounds):
                workers, out = 1 + turn % 2, Path(folder) / f"{name}-{turn}"
                times[workers].append(took(partial(imported, name, Path(folder) / name, out, workers)))
                shutil.rmtree(out)
            (wall, cpu), (wall_of_two, left) = (map(min, zip(*of, strict=True)) for of in times.values())
            shown = f"importing {name:4} of {count} images: {count / wall:5.0f}/s, {1000 * cpu / count:.2f} ms of CPU time an image"
            print(f"{shown}; two workers {count / wall_of_two:5.0f}/s, and leave {1000 * left / count:.2f} ms", flush=True)


def imported(name: FormatName, path: Path, out: Path, workers: int) -> None:
    classes, samples, _ = read_format(name, path)
    write_native(out, classes, samples, about={}, link=True, workers=workers)


def took(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock seconds and this process's CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
