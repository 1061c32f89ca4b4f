"""Compares layers of cross- and self-attention, and switches of capture, by the masks that they give: mean IoU of a method on held-out
scenes of the embedded model.

    python benchmarks/layers.py --layers "up up/last"
    python benchmarks/layers.py --method ca_sa --layers up/last --set shift
    python benchmarks/layers.py --method goca --layers all --parts "layers,blur,product blur,product none"
    python benchmarks/layers.py --method best --set tune --change compete=false layers=up tau=2
    python benchmarks/layers.py --layers up --switches "none flip errors prompt"

The threshold is the best on `--tune` other scenes. Everything else comes from the model's preset for the method.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.fields import checked, field_types
from seediff.config.presets import Recommended, recommended_mask
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
"""Name of a switch → options of CaptureConfig."""


def ious(model: Model, scene_set: str, count: int, settings: Sequence[Setting], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """IoU (S, P, T) of every setting, pair of scene and class, and threshold; and the scene of each pair (P,)."""
    values, images = [], []
    sources = list(dict.fromkeys(setting.capture for setting in settings))
    for index, scene, maps in captured(model, load_scenes(scene_set, count), sources, seed=seed):
        soft = winners(soft_masks(scene.image, scene.classes, maps, settings))
        values.append(overlap(*sweep(soft, exact_masks(scene), BETAS)))
        images += [index] * len(scene.classes)
    return np.concatenate(values, 1), np.array(images)


def compare(model: Model, preset: Recommended, options: argparse.Namespace) -> None:
    """Print a row for the preset and for each change to it: its mean IoU, and its lead over the preset on the same scenes."""
    start = Setting(preset.mask, preset.capture)
    settings = [start, *(changed(start, change) for change in options.change)]
    tuned, images = ious(model, "tune", options.tune, settings, seed=0)
    found = tuned
    if options.set != "tune":
        found, images = ious(model, options.set, options.scenes, settings, seed=1)
    own = [values[:, best] for best, values in zip(tuned.mean(1).argmax(1), found, strict=True)]
    for change, best, values in zip(["", *options.change], tuned.mean(1).argmax(1), own, strict=True):
        above = [round(float(value), 4) for value in ((values - own[0]).mean(), *mean_interval(values - own[0], images))]
        ci95 = [round(value, 4) for value in mean_interval(values, images)]
        row = {"change": change, "beta": float(BETAS[best]), "iou": round(float(values.mean()), 4), "ci95": ci95}
        print(json.dumps(row | {"above": above[0], "above_ci95": above[1:]}), flush=True)


def changed(setting: Setting, change: str) -> Setting:
    """The setting with some options changed. change: comma-separated `name=value` of MaskConfig or CaptureConfig; JSON or plain text."""
    config, capture = setting.config, setting.capture
    for name, value in re.findall(r"(\w+)=(\[.*?\]|[^,]+)", change):
        values = {name: json.loads(value if re.fullmatch(r"[\d.]+|true|false|\[.*\]", value) else json.dumps(value))}
        if name in field_types(MaskConfig):
            config = replace(config, **checked(MaskConfig, values, change))
        else:
            capture = replace(capture, **checked(CaptureConfig, values, change))
    return Setting(config, capture)


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
    parser.add_argument("--set", default="truth", choices=["truth", "shift", "tune"])
    parser.add_argument(
        "--change", nargs="+", help="the preset, and the preset with each of these changed, such as tau=2 or compete=false,mean=geometric"
    )
    options = parser.parse_args()
    model = load_model(options.model)
    preset = recommended_mask(options.model, options.method)
    if options.change:
        return compare(model, preset, options)
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
