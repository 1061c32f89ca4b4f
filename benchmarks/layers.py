"""Which layers of cross- and self-attention, and which switches of capture, make the better masks: mean IoU of a method on held-out
scenes of the embedded model.

    python benchmarks/layers.py --layers "up up/last"
    python benchmarks/layers.py --method ca_sa --layers up/last --set shift
    python benchmarks/layers.py --method goca --layers all --parts "layers,blur,product blur,product none"
    python benchmarks/layers.py --layers up --switches "none flip errors prompt"

The threshold is the best on `--tune` other scenes. Everything else is the model's preset of the method.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from seediff.config.constants import MaskConfig
from seediff.config.presets import recommended_mask
from seediff.metrics.bootstrap import mean_interval
from seediff.metrics.scores import overlap
from seediff.mini.scenes import load_scenes
from seediff.models.registry import Model, load_model
from seediff.study.masks.capture import captured
from seediff.study.masks.contest import BETAS, Setting
from seediff.study.masks.score import exact_masks, soft_masks, sweep, winners

SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "heads": {"normalize": False, "heads": "weighted"},
    "flip": {"flip": True},
    "errors": {"errors": True},
    "prompt": {"prompt": "{class}"},
}
"""Options of CaptureConfig by the name of the switch."""


def ious(model: Model, scene_set: str, count: int, settings: Sequence[Setting], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """IoU (S, P, T) of every setting, pair of scene and class, and threshold; and the scene of each pair (P,)."""
    values, images = [], []
    sources = list(dict.fromkeys(setting.capture for setting in settings))
    for index, scene, maps in captured(model, load_scenes(scene_set, count), sources, seed=seed):
        soft = winners(soft_masks(scene.image, scene.classes, maps, settings))
        values.append(overlap(*sweep(soft, exact_masks(scene), BETAS)))
        images += [index] * len(scene.classes)
    return np.concatenate(values, 1), np.array(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--tune", type=int, default=64)
    parser.add_argument("--layers", default="all up last all/last up/last last/up", help="as --capture-layers, with spaces between")
    parser.add_argument("--parts", default=",".join(MaskConfig.parts), help="as --parts, with spaces between, or none; of goca alone")
    parser.add_argument("--switches", default="none", help=f"of capture, with spaces between: {', '.join(SWITCHES)}")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--method", default="ca_sa")
    parser.add_argument("--pamr-iterations", type=int, help="instead of the preset's")
    parser.add_argument("--pamr-dilations", type=int, nargs="+", help="instead of the preset's")
    parser.add_argument("--set", default="truth", choices=["truth", "shift"])
    options = parser.parse_args()
    model = load_model(options.model)
    preset = recommended_mask(options.model, options.method)
    config = replace(
        preset.mask,
        pamr_iterations=options.pamr_iterations or preset.mask.pamr_iterations,
        pamr_dilations=tuple(options.pamr_dilations or ()) or preset.mask.pamr_dilations,
    )
    settings = [
        Setting(config, replace(preset.capture, layers=layers, **SWITCHES[switch])).with_config(
            parts=() if parts == "none" else tuple(parts.split(",")), pamr=pamr
        )
        for layers, switch, parts, pamr in product(options.layers.split(), options.switches.split(), options.parts.split(), (False, True))
    ]
    tuned, _ = ious(model, "tune", options.tune, settings, seed=0)
    found, images = ious(model, options.set, options.scenes, settings, seed=1)
    for setting, best, values in zip(settings, tuned.mean(1).argmax(1), found, strict=True):
        low, high = mean_interval(values[:, best], images)
        row = {
            "layers": setting.capture.layers,
            "switches": [name for name, of in SWITCHES.items() if of and of.items() <= vars(setting.capture).items()],
            **({"parts": ",".join(setting.config.parts)} if options.method == "goca" else {}),
            "pamr": setting.config.pamr,
            "beta": float(BETAS[best]),
            "iou": round(float(values[:, best].mean()), 4),
        }
        print(json.dumps(row | {"ci95": [round(low, 4), round(high, 4)]}))


if __name__ == "__main__":
    main()
