"""Whether the order of doubt puts wrong labels first: here, faults that are planted in exact labels. And what a
segmenter gains when a person mends the first ones. drawings.py has the same for drawings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from recipes.mini.sets import dataset_ids, load_set
from seediff.config.sets import DOUBT_STEPS
from seediff.config.train import make_config
from seediff.dataset.dataset import Dataset
from seediff.dataset.sample import Sample
from seediff.evaluate.evaluation import evaluate
from seediff.files.label_maps import IGNORE
from seediff.files.outputs import write_atomic
from seediff.mini import CLASSES
from seediff.rows.doubt import doubt
from seediff.rows.row import Row
from seediff.train.cross_fit import cross_fit
from seediff.train.run import train_segmenter

from .markdown import table

KINDS = ("wrong class", "missing", "shifted", "resized", "swapped")
"""Planted faults: a class has another's id; a class is missing; labels are shifted by a sixteenth of the image's side;
they are grown or shrunk by half of that; an image has another one's labels."""
TINY: dict[str, Any] = {"backbone": "tiny", "device": "cpu"}
SHARES = (0.1, 0.2, 0.3)
DRAWS = 1000
"""Draws of the bootstrap."""


def run_faults(
    *,
    out: Path,
    data: Path | None = None,
    count: int = 500,
    seeds: tuple[int, ...] = (0,),
    weights: str = "pretrained",
    steps: int = DOUBT_STEPS,
) -> None:
    """How many planted faults stand first in the order of doubt. A tenth of the labels has one.

    Example: python -m recipes.studies faults --count 200 --seeds 0 --seeds 1 --out faults.json

    Parameters
    ----------
    data
        A labelled set in any format; by default the `truth` scenes.
    count
        Number of samples. Each seed takes the next ones.
    seeds
        Of the faults and the cross-fit; each seed's set is ordered by itself.
    weights
        Of the cross-fit's segmenters: pretrained or scratch.
    steps
        Of each training.
    """
    exact = Dataset.open(data) if data else exact_scenes("truth")
    mixed = np.random.default_rng(0).permutation(len(exact))
    found: list[Any] = []
    for seed in seeds:
        chosen = np.roll(mixed, -count * seed)[:count]
        planted, kinds = plant(Dataset(exact.classes, [exact[n] for n in chosen.tolist()]), seed)
        found.append((doubt(with_support(planted, seed, weights, steps)), kinds))
    order, kind = map(np.concatenate, zip(*found, strict=True))
    by_kind = {name: among_first(order, kind == name, 0.2) for name in KINDS}
    write(out, {"planted": ({"doubt": order}, kind != "")}, in_worst_fifth=by_kind)


def run_loop(*, out: Path, seeds: tuple[int, ...] = (0, 1)) -> None:
    """A segmenter before and after the 40 most doubtful labels are mended: its mIoU on the `truth` scenes, trained for
    300 steps on the 200 `tune` scenes with planted faults, and with exact labels.

    Example: python -m recipes.studies loop --out loop.json

    Parameters
    ----------
    seeds
        Of faults, cross-fits and trainings.
    """
    exact, rows = exact_scenes("tune"), []
    for seed in seeds:
        planted, kinds = plant(exact, seed)
        looked = np.argsort(-doubt(with_support(planted, seed)))[:40].tolist()
        mended = Dataset(CLASSES, [exact[n] if n in looked else sample for n, sample in enumerate(planted)])
        row: dict[str, Any] = {"seed": seed, "found": sum(bool(kinds[n]) for n in looked)}
        for name, data in {"before": planted, "after": mended, "exact": exact}.items():
            folder = out.with_suffix("") / f"{name}-{seed}"
            train_segmenter(data, folder, steps=300, weights="pretrained", seed=seed, **TINY)
            row[name] = evaluate(folder, exact_scenes("truth"), boundary=False).to_json()["miou"]
        rows.append(row)
    print("\n".join(table([*rows[0]], [[f"{value:.3g}" for value in row.values()] for row in rows])))
    write_atomic(out, (json.dumps(rows, indent=1) + "\n").encode())


def exact_scenes(name: str) -> Dataset:
    """A set's scenes with their exact masks, as if they were imported."""
    ids, scenes = dataset_ids(CLASSES), enumerate(load_set(name))
    return Dataset(CLASSES, [Sample(one.image, ids[one.label_map], name=f"{number:06d}") for number, one in scenes])


def plant(data: Dataset, seed: int) -> tuple[Dataset, list[str]]:
    """The set with faults in a tenth of the labels, at least two of each kind, and each sample's kind; "" without a
    fault."""
    rng, each = np.random.default_rng(seed), max(2, len(data) // 50)
    labels = [sample.label_map for sample in data]
    shown = [np.setdiff1d(label_map, (0, IGNORE)) for label_map in labels]
    kinds, planted = [""] * len(data), [*data]
    waiting = rng.permutation(len(data)).tolist()
    for kind in KINDS:
        least = 1 + (kind == "missing")
        chosen = [n for n in waiting if not kinds[n] and len(shown[n]) >= least][:each]
        for n, other in zip(chosen, np.roll(chosen, 1).tolist(), strict=True):
            kinds[n], wrong = kind, labels[other]
            if kind != "swapped":
                wrong = faulty(kind, labels[n], shown[n], len(data.classes), rng)
            planted[n] = data[n].replace(label_map=wrong.astype(np.uint8))
    return Dataset(data.classes, planted), kinds


def faulty(kind: str, labels: np.ndarray, shown: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (H, W) with a fault of one of the first four KINDS. shown: the ids of the classes that they show."""
    pixels = min(labels.shape) // 16
    if kind == "shifted":
        return ndimage.shift(labels, rng.permutation([0, rng.choice([-pixels, pixels])]), order=0)
    if kind != "resized":
        others = {"missing": [0], "wrong class": np.setdiff1d(np.arange(classes) + 1, shown)}
        return np.where(labels == rng.choice(shown), rng.choice(others[kind]), labels)
    change = (ndimage.binary_dilation, ndimage.binary_erosion)[rng.integers(2)]
    resized = np.where(labels == IGNORE, IGNORE, 0)
    for n in shown:
        resized[change(labels == n, iterations=pixels // 2) & np.isin(resized, (0, IGNORE))] = n  # pyright: ignore
    return resized


def with_support(data: Dataset, seed: int, weights: str = "pretrained", steps: int = DOUBT_STEPS) -> list[Row]:
    """The rows of a set with the `support` of a cross-fit."""
    config = make_config({**TINY, "weights": weights, "seed": seed})
    supports = cross_fit(data, config, steps=steps)
    return [sample.row.replace(support=found) for sample, found in zip(data, supports, strict=True)]


def judge(orders: Mapping[str, np.ndarray], wrong: np.ndarray) -> dict[str, Any]:
    """For each order its AUC, the share of the wrong images in the first SHARES of all images, and how far the AUC of
    the first order is above its own: [figure, low, high] each, with 95 % bootstrap intervals over images.

    orders: name → doubt (N,), a higher one comes first. wrong: (N,) bool.
    """
    rng, values = np.random.default_rng(0), dict[str, np.ndarray]()
    draws = [np.arange(len(wrong)), *rng.integers(len(wrong), size=(DRAWS, len(wrong)))]
    draws = [draw for draw in draws if 0 < wrong[draw].sum() < len(draw)]
    for name, order in orders.items():
        values[name] = np.array([figures(order[draw], wrong[draw]) for draw in draws])
    first = next(iter(values.values()))[:, :1]
    judged = dict[str, Any]()
    for name, found in values.items():
        found = np.hstack([found, first - found[:, :1]])
        judged[name] = np.vstack([found[:1], np.quantile(found, (0.025, 0.975), axis=0)]).T.round(4).tolist()
    return judged


def figures(order: np.ndarray, wrong: np.ndarray) -> list[float]:
    """The AUC, the probability that a wrong image comes before a right one, and the shares of the wrong images in the
    first SHARES."""
    count = wrong.sum()
    area = (rankdata(order)[wrong].sum() - count * (count + 1) / 2) / (count * (len(wrong) - count))
    return [area, *(among_first(order, wrong, share) for share in SHARES)]


def among_first(order: np.ndarray, chosen: np.ndarray, share: float) -> float:
    """The share of the chosen images among the first `share` of all images."""
    return float((rankdata(-order) <= share * len(order))[chosen].mean())


def write(out: Path, truths: Mapping[str, tuple[Mapping[str, np.ndarray], np.ndarray]], **results: Any) -> None:
    """Write and print what `judge` says. truths: name → its arguments. results: other results."""
    for truth, (orders, wrong) in truths.items():
        judged = judge(orders, wrong)
        results[truth] = {"images": len(wrong), "wrong": int(wrong.sum()), "orders": judged}
        shares = [f"in the worst {share:.0%}" for share in SHARES]
        cells = [[name, *("{:.2f} ({:.2f} to {:.2f})".format(*one) for one in found)] for name, found in judged.items()]
        head = [f"{truth}: {wrong.sum()} of {len(wrong)} wrong", "AUC", *shares, "AUC of the first minus this"]
        print("\n".join(table(head, cells)), flush=True)
    write_atomic(out, (json.dumps(results, indent=1) + "\n").encode())
