"""Which layers' cross- and self-attention make the better masks: mean IoU of a method on held-out scenes of the embedded model.

    python benchmarks/layers.py --layers "up up/last"
    python benchmarks/layers.py --method soft_seeds --layers up/last --set shift

The threshold is the best on `--tune` other scenes. Everything else is the model's preset of the method.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seediff.config.constants import CaptureConfig
from seediff.config.presets import recommended_mask
from seediff.metrics.bootstrap import mean_interval
from seediff.metrics.scores import overlap
from seediff.mini.scenes import load_scenes
from seediff.models.registry import Model, load_model
from seediff.study.masks.capture import captured
from seediff.study.masks.contest import BETAS, Setting
from seediff.study.masks.score import exact_masks, soft_masks, sweep, winners


def ious(model: Model, scene_set: str, count: int, settings: Sequence[Setting], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """IoU (S, P, T) of every setting, pair of scene and class, and threshold; and the scene of each pair (P,)."""
    values, images = [], []
    for index, scene, maps in captured(model, load_scenes(scene_set, count), [s.capture for s in settings], seed=seed):
        soft = winners(soft_masks(scene.image, scene.classes, maps, settings))
        values.append(overlap(*sweep(soft, exact_masks(scene), BETAS)))
        images += [index] * len(scene.classes)
    return np.concatenate(values, 1), np.array(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--tune", type=int, default=64)
    parser.add_argument("--layers", default="all up last all/last up/last last/up", help="as --capture-layers, with spaces between")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--method", default="ca_sa")
    parser.add_argument("--set", default="truth", choices=["truth", "shift"])
    options = parser.parse_args()
    model = load_model(options.model)
    config = recommended_mask(options.model, options.method).mask
    chosen = [CaptureConfig(layers=layers) for layers in options.layers.split()]
    settings = [Setting(replace(config, pamr=pamr), capture) for capture in chosen for pamr in (False, True)]
    tuned, _ = ious(model, "tune", options.tune, settings, seed=0)
    found, images = ious(model, options.set, options.scenes, settings, seed=1)
    for setting, best, values in zip(settings, tuned.mean(1).argmax(1), found, strict=True):
        low, high = mean_interval(values[:, best], images)
        row = {
            "layers": setting.capture.layers,
            "pamr": setting.config.pamr,
            "beta": float(BETAS[best]),
            "iou": round(float(values[:, best].mean()), 4),
        }
        print(json.dumps(row | {"ci95": [round(low, 4), round(high, 4)]}))


if __name__ == "__main__":
    main()
