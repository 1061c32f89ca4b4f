"""Masks a second and core through COCO's RLE and through PNG, beside what people do: one mask a class, encoded by pycocotools.

    PYTHONPATH=src python benchmarks/formats.py                # about a minute on one core
    PYTHONPATH=src python benchmarks/formats.py --repeats 3

Label maps of 512² with all of 21 classes: discs over each other, as objects lie in pictures, and smooth random regions whose edges fray.
The sides take turns on the same map, so that a busy machine slows both; shown are the median rate of each and the median of the ratios.
Export is the whole command's work without its start, of 200 images of 512² that are linked; VOC's masks are copied, which is bound by
decoding each, to check its ids, and by making files.
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

from seediff.dataset.coco import export_coco, instances, semantic
from seediff.dataset.native import encode_image, encode_mask
from seediff.dataset.store import Item, open_native, write_native
from seediff.dataset.voc import export_voc
from seediff.rle import label_map_rles

SIDE, CLASSES = 512, 21


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
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
        print(f"{kind}: {np.mean([np.count_nonzero(np.diff(m, axis=0)) for m in maps]):.0f} runs a map; bytes equal pycocotools'")
        base = ("pycocotools, one mask a class", one_a_class)
        for name, function in (
            ("RLE of a label map", label_map_rles),
            ("COCO annotations, semantic", semantic),
            ("COCO annotations, objects", instances),
            ("PNG mask", encode_mask),
            ("its floor: zlib's runs alone", zlib_runs),
        ):
            compare(name, function, base, maps, given.repeats)
    export_rates(kinds["discs"], given.images)


def one_a_class(labels: np.ndarray) -> dict[int, Any]:
    return {int(i): pycocotools_mask.encode(np.asfortranarray((labels == i).astype(np.uint8))) for i in np.unique(labels)}


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
    pairs = [(seconds(function, m), seconds(base[1], m)) for _ in range(repeats) for m in maps]
    ours, theirs = (1 / statistics.median(one) for one in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"  {name:28} {ours:7.0f}/s   {base[0]} {theirs:6.0f}/s   ratio {ratio:.1f}", flush=True)


def seconds(function: Callable[[np.ndarray], Any], labels: np.ndarray) -> float:
    """CPU time of one call: what another process takes of the core does not count."""
    before = time.process_time()
    function(labels)
    return time.process_time() - before


def export_rates(maps: Sequence[np.ndarray], count: int) -> None:
    classes = [f"class {i}" for i in range(1, CLASSES)]
    picture = encode_image(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8), "jpg")
    items = [Item(f"{i:06d}", picture, "jpg", partial(np.copy, maps[i % len(maps)])) for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        write_native(Path(folder) / "native", classes, items, about={})
        for name, export in (("voc", export_voc), ("coco", export_coco)):
            found = open_native(Path(folder) / "native")
            wall, cpu = time.perf_counter(), time.process_time()
            export(*found, Path(folder) / name, link=True)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(f"export --to {name} --link of {count} images: {count / wall:.0f}/s; {count / cpu:.0f}/s of CPU time")


if __name__ == "__main__":
    main()
