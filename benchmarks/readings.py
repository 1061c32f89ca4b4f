"""Measures masks made with a reading, which is learnt from a few tuning scenes. On held-out scenes it is compared with CA·SA and the
model's usual method.

python benchmarks/readings.py --learn 20 --truth 100 --shift 60
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.presets import recommended_mask
from seediff.errors import UserError
from seediff.evaluate.layouts import open_evaluation
from seediff.masks.make import make_masks
from seediff.metrics.bootstrap import mean_interval
from seediff.metrics.scores import iou
from seediff.mini.scenes import CLASS_IDS, load_scenes, write_scenes_as_dataset
from seediff.models.registry import Model, load_model
from seediff.run.reading import learn_reading, means_of
from seediff.run.tune import countable
from seediff.study.masks.capture import captured


def measure(model: Model, name: str, count: int, reading: MaskConfig) -> dict[str, list[float]]:
    """Way → (its mean IoU over (scene, class) pairs, low, high): the 95 % interval of the reading's lead over it."""
    apart = CaptureConfig(apart=True)
    others = {method: recommended_mask("mini", method) for method in ("seediff", "ca_sa")}
    scores: dict[str, list[float]] = {"reading": [], **{method: [] for method in others}}
    owners: list[int] = []
    for index, scene, by_capture in captured(model, load_scenes(name, count), [apart], seed=1):
        maps = by_capture[apart]
        ways = {"reading": (maps, reading), **{m: (means_of(maps, model, r.capture), r.mask) for m, r in others.items()}}
        for way, (seen, config) in ways.items():
            labels = make_masks(scene.image, seen, scene.classes, config, trace=False).label_map
            scores[way] += [iou(labels == i, scene.label_map == CLASS_IDS[c]) for i, c in enumerate(scene.classes, 1)]
        owners += [index] * len(scene.classes)
    result: dict[str, list[float]] = {}
    for way, values in scores.items():
        ahead = np.array(scores["reading"]) - np.array(values)
        result[way] = [round(float(x), 4) for x in (np.mean(values), *mean_interval(ahead, np.array(owners)))]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, count in (("learn", 20), ("truth", 100), ("shift", 60)):
        parser.add_argument(f"--{name}", type=int, default=count, help="number of scenes")
    given = parser.parse_args()
    model, started = load_model("mini"), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        write_scenes_as_dataset(out / "scenes", load_scenes("tune", given.learn), {})
        data = open_evaluation(out / "scenes")
        try:
            learnt = learn_reading(model, data, countable(data, model.known_words), recommended_mask("mini"), count=given.learn)
        except UserError as error:  # it gains nothing, or there are too few scenes
            raise SystemExit(str(error)) from error
        print("pictures not seen:", learnt.gain, f"({time.monotonic() - started:.0f} s)", flush=True)
        print("classes not seen:", learnt.unseen, flush=True)
        learnt.reading.save(out / "own.safetensors")
        config = MaskConfig(reading=str(out / "own.safetensors"), pamr_dilations=(1, 2, 4, 8))
        for name in ("truth", "shift"):
            print(name, json.dumps(measure(model, name, vars(given)[name], config)), f"({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
