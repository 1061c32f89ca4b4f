"""`seediff study truth` at 256²: latents of 64², attention at 64, 32 and 16, as Stable Diffusion 1.5 has it at 512².

    python -m recipes.mini art --out art
    python -m recipes.mini train --art art --init mini --config benchmarks/truth_256.toml --out at-256     # teaches mini the larger size
    python benchmarks/truth_256.py --model at-256/pipeline --art art --json truth-256.json

The scenes of both splits are rendered from the art at this size. Only the paper's six methods are compared, because self-attention at 64²
is sixteen times as large as at 32². This is a separate program because the package's commands measure at the size of the packaged scenes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the recipe's world

from recipes.mini.world import OBJECTS, render_scene
from seediff.errors import UserError
from seediff.mini.scenes import Scene
from seediff.models.registry import load_model
from seediff.report.progress import tracked
from seediff.study.masks import capture, constants
from seediff.study.masks.capture import captured
from seediff.study.masks.truth import measure, sources

SIDE = 256
PAPERS = ("ca", "ca_sa", "caa", "cre", "ire", "seediff")
SEED = 0


def scenes(art: Path, split: str, count: int) -> list[Scene]:
    """The packaged sets' scenes of a split, rendered at this size."""
    return [render_scene(art, i, split=split, side=SIDE, objects=OBJECTS[i % len(OBJECTS)]) for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--art", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--tune-scenes", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    started = time.monotonic()
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.touch()  # fails now rather than at the end if the file cannot be written
    constants.METHOD_NAMES = PAPERS
    capture.BATCH = 2  # maps of 4,096 × 4,096 per scene and group of layers
    try:
        tuning, held = scenes(given.art, "tune", given.tune_scenes), scenes(given.art, "held", given.scenes)
        model = load_model(given.model)
    except UserError as error:  # no such art, or no such model
        raise SystemExit(str(error)) from error
    trials = constants.tune(model, tuning, seed=SEED)
    chosen = constants.choose(trials, constants.fitted_paper(model))
    items = captured(model, held, sources(chosen), seed=SEED + 1)
    result: dict[str, Any] = measure(tracked(items, "truth", len(held)), chosen)[0]
    result |= {"side": SIDE, "scenes": given.scenes, "tune_scenes": given.tune_scenes, "seconds": round(time.monotonic() - started, 1)}
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    print("| | IoU | 95 % CI | one object | several | − SeeDiff | constants |\n|---|---|---|---|---|---|---|")
    for name, row in result["methods"].items():
        ahead = row.get("ahead_of_seediff", {})
        print(name, row["iou"], row["ci95"], row["single"], row["several"], ahead, row["constants"], sep=" | ")
    for kind in ("paper_constants", "seed_side", "variants"):
        print(f"\n{kind}")
        for name, row in result[kind].items():
            print(name, row["iou"], row["ci95"], sep=" | ")


if __name__ == "__main__":
    main()
