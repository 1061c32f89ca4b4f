"""The packaged scenes of the embedded world as a dataset: whatever reads one can be tried with exact masks.

    python benchmarks/world_set.py tune --scenes 100 --out tuning
    seediff tune tuning --count 100 --out mini.toml              # the embedded model's own thresholds

Classes have the ids 1, 2 … in the order of the world's, not VOC's; captions are the prompts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from seediff.dataset.native import encode_image
from seediff.dataset.store import Item
from seediff.mini.world.packaged import SETS, load_scenes
from seediff.mini.world.scene import CLASS_IDS, CLASSES, Scene
from seediff.run.collect import write_native

IDS = np.zeros(256, np.uint8)
"""Of VOC's ids, which scenes have, the dataset's: 1, 2 … in the order of `CLASSES`."""
IDS[[CLASS_IDS[name] for name in CLASSES]] = range(1, len(CLASSES) + 1)


def item(index: int, scene: Scene) -> Item:
    """A scene as a sample: its caption is the prompt."""
    about = {"prompt": scene.caption, "classes": list(scene.classes)}
    return Item(f"{index:06d}", encode_image(scene.image, "png"), "png", lambda: IDS[scene.label_map], about)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("set", choices=tuple(SETS))
    parser.add_argument("--scenes", type=int, default=None, help="the first so many; all by default")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    items = [item(index, scene) for index, scene in enumerate(load_scenes(args.set, args.scenes))]
    about = {"command": "import", "source": f"scenes '{args.set}' of the embedded world"}
    print(f"{write_native(args.out, CLASSES, items, about=about)} samples: {args.out}")


if __name__ == "__main__":
    main()
