"""Compares measures of drawing quality with a reader: how a reader judged 114 drawings of `mini`, and whether measures rank them alike.

    python benchmarks/eye.py draw eye --scheduler dpm++ --page     # the drawings: 76 in eye/drawn, 38 for a page in eye/page
    python benchmarks/eye.py sheets eye --order 4242               # contact sheets for judging: large, numbered, in random order
    python benchmarks/eye.py rank eye                              # agreement of the readings, and the AUC of each measure
    python benchmarks/eye.py later                                 # how many drawings of seed 77 two readers each call whole
    python benchmarks/eye.py draw new --seed 77                    # new drawings, as `seediff generate` draws them now
    python benchmarks/eye.py share old new                         # how much of the 76 the best sprite explains, and the difference
    python benchmarks/eye.py compare old new --order 7             # blind pairs from two folders of one seed: sides are random

`sheets` and `share` take several folders. The readings are in recipes/tables/eye.json. An AUC is the probability that a drawing read as
whole scores higher than a drawing read otherwise, averaged over both readings. A yes-or-no measure counts as a score of 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the recipe's phrases

import numpy as np
import torch
from PIL import Image

from recipes.mini.art import training_phrases
from seediff.config.generate import GenerateConfig
from seediff.config.names import spoken
from seediff.metrics.bootstrap import draw_images as bootstrap_draws
from seediff.metrics.bootstrap import interval, mean_interval
from seediff.metrics.mask_scores import auc
from seediff.mini.quality import draw_images, prompts
from seediff.mini.scenes import CLASSES
from seediff.mini.shapes import explained, read_templates
from seediff.mini.yardsticks import load_classifier, load_segmenter, run_batched
from seediff.models.registry import load_model
from seediff.prompts.specs import called
from seediff.report.pictures import contact_sheet, fit_side
from seediff.run.generate import generate

TABLE = Path(__file__).parent.parent / "recipes" / "tables" / "eye.json"
DRAWN, SEED = 76, 76
PER_SHEET, COLUMNS, SIDE = 12, 4, 384  # drawings per sheet and per row; pixels per tile side, three times the drawing's


def draw(folder: Path, model: str, seed: int, named: bool, page: bool, given: dict[str, Any]) -> None:
    """Write 76 drawings as PNG, made as `generate` makes them with the options `given`. named: prompts name each class by phrases from the
    model's training drawings. page: also write a dataset of 38 images with `generate`."""
    config = GenerateConfig.recommended(classes=CLASSES, model=model, per_class=2, **given)
    loaded = load_model(model, scheduler=config.scheduler)
    specs = prompts(DRAWN, seed)
    if named:
        phrases = called(training_phrases(), CLASSES, seed)
        specs = [replace(s, prompt=s.prompt.replace(spoken(s.classes[0]), next(phrases[s.classes[0]]), 1)) for s in specs]
    (folder / "drawn").mkdir(parents=True)
    for index, image in enumerate(draw_images(loaded, specs, config.steps, config.guidance_scale)):
        Image.fromarray(image).save(folder / "drawn" / f"{index:06d}.png")
    if page:
        generate(config, folder / "page")


def pictures(folder: Path) -> tuple[list[np.ndarray], list[str]]:
    """The drawings of a folder, the 76 and then the 38 if present, and the class of each; classes take turns."""
    paths = [*sorted((folder / "drawn").glob("*.png")), *sorted((folder / "page" / "images").glob("*.png"))]
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return images, [CLASSES[index % len(CLASSES)] for index in range(len(images))]


def sheets(folders: list[Path], order: int) -> None:
    """Write numbered contact sheets of all folders' drawings in one random order. key.json gets the folder and number of each drawing."""
    drawings = [(folder, number, *drawing) for folder in folders for number, drawing in enumerate(zip(*pictures(folder), strict=True))]
    random.Random(order).shuffle(drawings)
    out = folders[0] / f"order-{order}"
    write_sheets(out, [image for *_, image, _ in drawings], [name for *_, name in drawings])
    (out / "key.json").write_text(json.dumps([(str(folder), number) for folder, number, *_ in drawings]))


def compare(folder: Path, other: Path, order: int) -> None:
    """Write contact sheets of pairs, two tiles per pair, with pairs and sides in random order. sides.json gets this order."""
    (first, names), (second, _) = pictures(folder), pictures(other)
    chance = random.Random(order)
    places = list(range(min(len(first), len(second))))
    chance.shuffle(places)
    swapped = [chance.random() < 0.5 for _ in places]
    tiles = chain.from_iterable((second[p], first[p]) if s else (first[p], second[p]) for p, s in zip(places, swapped, strict=True))
    out = other / f"order-{order}"
    write_sheets(out, list(tiles), [names[p] for p in places for _ in range(2)])
    (out / "sides.json").write_text(json.dumps({"drawing": places, "swapped": swapped}))


def write_sheets(out: Path, images: list[np.ndarray], names: list[str]) -> None:
    out.mkdir(parents=True)
    for start in range(0, len(images), PER_SHEET):
        tiles = [fit_side(image, SIDE, Image.Resampling.LANCZOS) for image in images[start : start + PER_SHEET]]
        labels = [f"{number}  {name}" for number, name in enumerate(names[start : start + PER_SHEET], start + 1)]
        Image.fromarray(contact_sheet(tiles, COLUMNS, labels)).save(out / f"{start // PER_SHEET:02d}.png")


def readings() -> np.ndarray:
    """(2, 114) letters of both readings, in the order of `pictures`."""
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return np.array([list("".join(table["drawn"][r] + table["page"][r])) for r in ("first", "second")])


def kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's kappa of two readings, (n,) letters each."""
    shares = [np.array([(reading == letter).mean() for letter in "wmu"]) for reading in (first, second)]
    by_chance = float(shares[0] @ shares[1])
    return (float((first == second).mean()) - by_chance) / (1 - by_chance)


def eye_auc(scores: np.ndarray, read: np.ndarray) -> float:
    """The AUC of scores (n,) for telling whole drawings from the others, averaged over the readings (2, n)."""
    return float(np.mean([auc(scores, row == "w") for row in read]))


def measures(images: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """The score of every drawing by each measure; a whole drawing should score higher."""
    templates = read_templates()
    share = np.array([score for score, _ in explained(images, names, load_segmenter(), templates)])
    limits = np.array([templates.thresholds[name] for name in names])
    logits = run_batched(load_classifier(), images)
    return {
        "share that the best sprite explains": share,
        "the same less the class's threshold": share - limits,
        "not a chimera (`seediff mini check`)": (share >= limits).astype(float),
        "the classifier's logit of the class": logits[torch.arange(len(names)), torch.tensor([CLASSES.index(n) for n in names])].numpy(),
    }


def rank(folder: Path) -> None:
    """Print how well the two readings agree, and a table of AUCs with 95 % intervals."""
    images, names = pictures(folder)
    read = readings()
    if len(images) != read.shape[1]:
        raise SystemExit(f"{folder}: has {len(images)} drawings, but {read.shape[1]} were read")
    for number, row in enumerate(read, 1):
        print(f"reading {number}: " + ", ".join(f"{letter} {(row == letter).sum()}" for letter in "wmu"))
    print(f"the same letter {(read[0] == read[1]).mean():.3f}, kappa {kappa(*read):.3f}\n\n| measure | AUC |\n|---|---|")
    for name, scores in measures(np.stack(images), names).items():
        low, high = interval(np.array([eye_auc(scores[k], read[:, k]) for k in bootstrap_draws(len(scores))]))
        print(f"| {name} | {eye_auc(scores, read):.3f} ({low:.3f}–{high:.3f}) |", flush=True)


def later() -> None:
    """Print the later readings, by pairs of readers: each folder's share of whole drawings, and its difference from the folder `before`."""
    for table in json.loads(TABLE.read_text())["later"]:
        parts = {name: part for name, part in table.items() if isinstance(part, dict)}
        letters = {name: np.array([list("".join(part[r])) for r in ("first", "second")]) for name, part in parts.items()}
        first, second = np.concatenate(list(letters.values()), 1)
        print(f"{table['readings']}: the same letter {(first == second).mean():.3f}, kappa {kappa(first, second):.3f}")
        before = (letters["before"] == "w").mean(0)
        for name, read in letters.items():
            whole = (read == "w").mean(0)
            low, high = mean_interval(whole)
            counts = " and ".join(str(n) for n in (read == "w").sum(1))
            down, up = mean_interval(whole - before)
            print(
                f"  {name}: {counts}, {whole.mean():.3f} ({low:.3f}–{high:.3f}), {(whole - before).mean():+.3f} ({down:+.3f} to {up:+.3f})"
            )


def share(folders: list[Path]) -> None:
    """Print how much of the 76 drawings of each folder the best sprite explains, and the difference from the first folder's."""
    first = None
    for folder in folders:
        images, names = pictures(folder)
        found = explained(np.stack(images[:DRAWN]), names[:DRAWN], load_segmenter(), read_templates())
        shares = np.array([score for score, _ in found])
        low, high = mean_interval(shares)
        print(f"{folder}: {shares.mean():.3f} ({low:.3f}–{high:.3f})", end="" if first is not None else "\n")
        if first is None:
            first = shares
        else:
            low, high = mean_interval(shares - first)
            print(f", {(shares - first).mean():+.3f} ({low:+.3f} to {high:+.3f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("draw", "sheets", "rank", "later", "share", "compare"))
    parser.add_argument("folders", type=Path, nargs="*", help="draw and rank take one, compare takes two, later takes none")
    parser.add_argument("--order", type=int, default=0, help="seed of the random order")
    parser.add_argument("--model", default="mini", help="of draw")
    parser.add_argument("--seed", type=int, default=SEED, help="of draw")
    parser.add_argument("--named", action="store_true", help="of draw: prompts with the phrases of the drawings of the training")
    parser.add_argument("--page", action="store_true", help="of draw: 38 drawings more, two of each class, by `generate`")
    parser.add_argument("--scheduler", help="of draw; the preset's by default, as --steps and --guidance")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    given = parser.parse_args()
    if given.what == "later":
        return later()
    if not given.folders:
        parser.error(f"{given.what} needs a folder")
    folder, *others = given.folders
    if (given.what in ("draw", "rank") and others) or (given.what == "compare" and len(others) != 1):
        parser.error(f"{given.what} takes {'two folders' if given.what == 'compare' else 'one folder'}")
    if given.what == "draw":
        options = {"scheduler": given.scheduler, "steps": given.steps, "guidance_scale": given.guidance}
        draw(
            folder, given.model, given.seed, given.named, given.page, {name: value for name, value in options.items() if value is not None}
        )
    elif given.what == "sheets":
        sheets(given.folders, given.order)
    elif given.what == "rank":
        rank(folder)
    elif given.what == "share":
        share(given.folders)
    else:
        compare(folder, others[0], given.order)


if __name__ == "__main__":
    main()
