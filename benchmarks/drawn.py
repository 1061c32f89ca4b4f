"""How near masks of drawn images are to those of the yardstick, the embedded world's own segmenter, which knows the classes, too.

    python -m recipes.tables steps --art art --out studies/steps --work work      # draws two sets, below work/sets
    python benchmarks/drawn.py work/sets/566c47cd2192 --labels ca,ca_sa,seediff

For each labelling of the set: the IoU of its mask and the yardstick's, as mean over an image's classes and then over images of one class,
of two and so on, over all images, and over the surest; and the share of an image that its mask covers, as median over all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the recipe's tables

from recipes.tables.definition import Source
from recipes.tables.drawn import labelled
from recipes.tables.relabel import YARDSTICK, relabelled
from recipes.tables.sources import chosen
from seediff.dataset.sample import Sample
from seediff.errors import UserError
from seediff.study.results import markdown_table


def agreement(sample: Sample, other: Sample, classes: Sequence[str]) -> float:
    """Mean IoU of the two label maps over the classes that the image shows."""
    masks = [(sample.label_map == i, other.label_map == i) for i in (classes.index(name) + 1 for name in sample.metadata["classes"])]
    return float(np.mean([(one & two).sum() / max(1, (one | two).sum()) for one, two in masks]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--labels", default="seediff", help="labellings of the set, separated by commas")
    parser.add_argument("--surest", type=float, default=0.7, help="share of the images with the most certain masks")
    given = parser.parse_args()
    names, rows = given.labels.split(","), []
    try:
        classes, samples = labelled(given.set, names[0])
        with TemporaryDirectory() as folder:
            yardstick = {s.name: s for s in relabelled(classes, samples, YARDSTICK, {}, Path(folder) / "yardstick")[1]}
            for name in names:
                classes, samples = labelled(given.set, name)
                found = {s.name: agreement(s, yardstick[s.name], classes) for s in samples}
                every = Source(set="set", labels=name)
                counts = sorted({len(s.metadata["classes"]) for s in samples})
                parts = {f"{n} classes": replace(every, objects=n) for n in counts}
                parts |= {"all": every, f"surest {given.surest:.0%}": replace(every, surest=given.surest)}
                groups = [chosen(part, samples, classes) for part in parts.values()]
                cells = [f"{np.mean([found[s.name] for s in group]):.3f}" for group in groups]
                rows.append([name, *cells, f"{np.median([(s.label_map > 0).mean() for s in samples]):.2f}"])
    except UserError as error:  # no such set, or no such labelling
        raise SystemExit(str(error)) from error
    print("\n".join(markdown_table(["", *parts, "covered"], rows)))


if __name__ == "__main__":
    main()
