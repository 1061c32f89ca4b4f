"""Label maps per second and core through COCO's RLE and through PNG, beside what people do: one mask per class, or a connected piece of a
class, encoded by pycocotools.

    PYTHONPATH=src python benchmarks/formats.py                # about a minute on one core
    PYTHONPATH=src python benchmarks/formats.py --repeats 3

Label maps of 512² with all of 21 classes: discs over each other, as objects lie in pictures, and smooth random regions whose edges fray.
The sides take turns on the same five maps, so that a busy machine slows both; shown are the median rate of each and the median of the
ratios. A turn is of all five: the first one alone pays for the other side's having filled the caches.
Floors are what nothing of this kind is faster than: the look at every pixel that finds where runs begin, for RLE; the label map's pixels
compressed, for PNG. scipy's one pass that labels the pieces of all classes together is shown for comparison.
Export is the whole command's work without its start, of 200 images of 512² with JPEG pictures, which are linked where files of their own;
`decoding` alone is reading each label map and checking its size and ids. What two workers leave is the first process's own CPU time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from evaluate import smooth_regions
from pycocotools import mask as pycocotools_mask
from scipy import ndimage

from seediff.dataset.conversions import export_options
from seediff.dataset.formats.coco import instances, semantic
from seediff.dataset.formats.drivers import export
from seediff.dataset.formats.known import FORMATS
from seediff.dataset.native import encode_image, encode_mask
from seediff.dataset.sample import Sample
from seediff.dataset.shapes.rle import label_map_rles
from seediff.dataset.store import open_native, write_native

SIDE, CLASSES = 512, 21


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    kinds = {
        "discs": [discs(rng) for _ in range(5)],
        "frayed": [rng.permutation(CLASSES).astype(np.uint8)[smooth_regions(rng, CLASSES, SIDE)] for _ in range(5)],
    }
    for kind, maps in kinds.items():
        for labels in maps:
            theirs = one_a_class(labels)
            ours = label_map_rles(labels)
            assert {i: rle["counts"].encode() for i, rle in ours.items()} == {i: rle["counts"] for i, rle in theirs.items()}
            pieces = [(one["category_id"], one["segmentation"]["counts"].encode()) for one in instances(labels)[0]]
            assert pieces == [(class_id, rle["counts"]) for class_id, rle in one_a_piece(labels)]
        runs, objects = (np.mean([len(of(m)) for m in maps]) for of in (run_begins, lambda m: instances(m)[0]))
        print(f"{kind}: {runs:.0f} runs and {objects:.0f} objects a map; bytes equal pycocotools'")
        classes, connected = ("pycocotools, one mask per class", one_a_class), ("scipy and pycocotools, one mask per object", one_a_piece)
        for name, function, base in (
            ("RLE of a label map", label_map_rles, classes),
            ("COCO annotations, semantic", semantic, classes),
            ("their floor: where runs begin", run_begins, classes),
            ("COCO annotations, objects", instances, connected),
            ("scipy's pieces alone", scipy_pieces, connected),
            ("PNG mask", encode_mask, classes),
            ("its floor: zlib's runs alone", zlib_runs, classes),
        ):
            compare(name, function, base, maps, given.repeats if base is classes else max(1, given.repeats // 10))
    export_rates(kinds["discs"], given.images)


def one_a_class(labels: np.ndarray) -> dict[int, Any]:
    return {int(i): pycocotools_mask.encode(np.asfortranarray((labels == i).astype(np.uint8))) for i in np.unique(labels)}


def one_a_piece(labels: np.ndarray) -> list[tuple[int, Any]]:
    """Class and RLE of each connected piece, by class and first pixel column by column."""
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
    """What no PNG of these pixels is faster than: compressing them."""
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return compressor.compress(labels.data) + compressor.flush()


def discs(rng: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE) uint8: an ellipse of every class, the later ones over the earlier ones."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for class_id in rng.permutation(CLASSES - 1) + 1:
        (top, left), radius, shape = rng.integers(0, SIDE, 2), rng.integers(40, 120), rng.uniform(0.5, 1.5)
        labels[(y - top) ** 2 * shape + (x - left) ** 2 < radius**2] = class_id
    return labels


def compare(
    name: str,
    function: Callable[[np.ndarray], Any],
    base: tuple[str, Callable[[np.ndarray], Any]],
    maps: Sequence[np.ndarray],
    repeats: int,
) -> None:
    pairs = [(seconds(function, maps), seconds(base[1], maps)) for _ in range(repeats)]
    ours, theirs = (1 / statistics.median(one) for one in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"  {name:28} {ours:7.0f}/s   {base[0]} {theirs:6.0f}/s   ratio {ratio:.1f}", flush=True)


def seconds(function: Callable[[np.ndarray], Any], maps: Sequence[np.ndarray]) -> float:
    """CPU time of a call, of one for each map: what another process takes of the core does not count."""
    before = time.process_time()
    for labels in maps:
        function(labels)
    return (time.process_time() - before) / len(maps)


def export_rates(maps: Sequence[np.ndarray], count: int) -> None:
    classes = [f"class {i}" for i in range(1, CLASSES)]
    picture = encode_image(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8), "jpg")
    items = [Sample(picture, partial(np.copy, maps[i % len(maps)]), name=f"{i:06d}") for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        write_native(Path(folder) / "native", classes, items, about={})
        _, found = open_native(Path(folder) / "native")
        wall, cpu = took(lambda: [item.labels(CLASSES) for item in found])
        print(f"decoding    of {count} images: {count / wall:5.0f}/s; {count / cpu:5.0f}/s of CPU time", flush=True)
        for name in FORMATS:
            link = "link" in export_options(name)
            wall, cpu = took(partial(export, name, classes, found, Path(folder) / name, link=link))
            _, left = took(partial(export, name, classes, found, Path(folder) / f"{name}-2", workers=2, link=link))
            shown = f"{name:11} of {count} images: {count / wall:5.0f}/s; {count / cpu:5.0f}/s of CPU time"
            print(f"{shown}; two workers leave {1000 * left / count:.2f} ms an image", flush=True)


def took(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and seconds of this process's CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
