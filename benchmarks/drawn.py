"""How well masks of drawn images agree with the yardstick's, the embedded world's own segmenter, which is told the classes too.

    python benchmarks/drawn.py studies/work/sets/051ce671a952 --labels seediff

The folder is a set that `seediff study` drew. Agreement is the IoU of a class's two masks, its mean over an image's classes, and the mean
of that over images: all of them, those of each number of classes, and the surest.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from seediff.dataset.store import Item
from seediff.study.tables.definition import Source
from seediff.study.tables.drawn import labelled
from seediff.study.tables.relabel import YARDSTICK, relabelled
from seediff.study.tables.sources import chosen


def agreement(item: Item, other: Item, classes: tuple[str, ...]) -> float:
    ids = [classes.index(name) + 1 for name in item.row["classes"]]
    masks = [(item.label_map() == i, other.label_map() == i) for i in ids]
    return float(np.mean([(one & two).sum() / max(1, (one | two).sum()) for one, two in masks]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--labels", default="seediff")
    parser.add_argument("--surest", type=float, default=0.7)
    given = parser.parse_args()
    classes, items = labelled(given.set, given.labels)
    with TemporaryDirectory() as folder:
        _, others = relabelled(classes, items, YARDSTICK, {}, Path(folder) / "yardstick")
        found = {item.name: agreement(item, other, classes) for item, other in zip(items, others, strict=True)}
    parts = {"all": items}
    for count in sorted({len(item.row["classes"]) for item in items}):
        parts[f"of {count} classes"] = [item for item in items if len(item.row["classes"]) == count]
    parts[f"the surest {given.surest:.0%}"] = chosen(Source(set="set", labels=given.labels, surest=given.surest), items, classes)
    for name, some in parts.items():
        print(f"{name}: {len(some)} images, IoU {np.mean([found[item.name] for item in some]):.3f}")


if __name__ == "__main__":
    main()
