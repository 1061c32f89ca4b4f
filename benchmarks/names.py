"""How many objects get their own name: exact masks of the tuning scenes as segments, each scene's words and three others to choose from.

    python benchmarks/names.py --scenes 60
    python benchmarks/names.py --scenes 40 --model runs/mini/pipeline

Backgrounds do not count, nor does the threshold below which `segment --names` gives no name.
"""

from __future__ import annotations

import argparse

import numpy as np

from seediff.mini.world.packaged import load_scenes
from seediff.mini.world.scene import CLASS_IDS, Scene
from seediff.models.registry import Model, load_model
from seediff.segments.naming import name_photos

OTHERS = ("bus", "sheep", "sofa")
"""Words that are asked for whether they are there or not."""


def rightly_named(model: Model, scenes: list[Scene]) -> tuple[int, int]:
    """Objects that got their own name, and all."""
    right = total = 0
    for scene in scenes:
        ids = np.unique(scene.label_map)
        segments = np.searchsorted(ids, scene.label_map).astype(np.int32)
        words = tuple(dict.fromkeys((*scene.classes, *OTHERS)))
        options = {"fit": "resize", "size": None, "timestep": 300, "vote": "mean", "threshold": 0.0}
        (named,) = name_photos(model, [scene.image], [segments], [words], **options)
        truth = {CLASS_IDS[name]: name for name in scene.classes}
        total += len(ids) - 1
        right += sum(named[i].name == truth.get(int(value)) for i, value in enumerate(ids) if value)
    return right, total


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--scenes", type=int, default=60)
    options = parser.parse_args()
    right, total = rightly_named(load_model(options.model), load_scenes("tune", options.scenes))
    print(f"{right} of {total} objects: {right / total:.3f}")


if __name__ == "__main__":
    main()
