"""Segments by DiffSeg, K-Means and DiffCut, at the papers' constants and each at its best constants, against floors
without a model.

The comparison is fair: the constants of every method, baselines included, are tuned on the same separate scenes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from PIL import Image
from rich.progress import track
from scipy.cluster.vq import kmeans2

from seediff.config.methods import SEGMENT_OPTIONS, SegmentConfig
from seediff.config.settings import check_table
from seediff.drawing.colours import UNNAMED
from seediff.drawing.overlays import contact_sheet, fit_side, overlay
from seediff.errors import UserError
from seediff.evaluate.score_list import keyed, often_shown
from seediff.files.image_files import compress_image
from seediff.files.label_maps import resize_nearest
from seediff.files.outputs import check_writable, write_atomic
from seediff.files.reading import read_json
from seediff.metrics.matching import contingency, count_matched, match
from seediff.metrics.scores import Estimate, accuracy, class_iou, mean_estimate, mean_iou, resample
from seediff.models.registry import Model, load_model
from seediff.segments.labelling import follow_edges, label
from seediff.segments.make_segments import capture_inputs, propose
from seediff.view import View

from .markdown import sections
from .pairs import Pairs, SceneSet, folder_pairs, scene_pairs


@dataclass(frozen=True)
class Colours:
    """K-Means on colour and position, without a model. k: the number of clusters."""

    k: Annotated[int, Meta(ge=1)]


@dataclass(frozen=True)
class Blind:
    """One of FLOORS."""

    floor: str


Way = SegmentConfig | Colours | Blind
PAPER: dict[str, Way] = {
    "diffseg": SegmentConfig(edge_rounds=0),
    "diffseg+kmeans": SegmentConfig(refine=True, edge_rounds=0),
    "diffseg+edges": SegmentConfig(),
    "kmeans-c": SegmentConfig(method="kmeans", k=6, edge_rounds=0),
    "kmeans-c+edges": SegmentConfig(method="kmeans", k=6),
    "kmeans-s": SegmentConfig(method="kmeans", k="truth", edge_rounds=0),
    "kmeans-s+edges": SegmentConfig(method="kmeans", k="truth"),
    "diffcut": SegmentConfig(method="diffcut", edge_rounds=0),
    "diffcut+edges": SegmentConfig(method="diffcut"),
    "colour-c": Colours(6),
}
"""Every method at its paper's constants, and along the pictures' edges."""
SHEET = {
    "diffseg": "DiffSeg",
    "diffseg+edges": "DiffSeg, edges",
    "kmeans-s": "K-Means-S",
    "kmeans-s+edges": "K-Means-S, edges",
    "diffcut": "DiffCut",
    "diffcut+edges": "DiffCut, edges",
}
"""The columns of the picture."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.9, 1.1)
WEIGHTS: tuple[Any, ...] = ("proportional", "uniform", (1.0,), (0.0, 1.0), (0.0, 0.0, 1.0))
CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
POWERS = (5.0, 10.0, 15.0)
CLUSTERS = (2, 3, 4, 5, 6, 8)
STUDIED = ("k", "kl_threshold", "cut_threshold", "cut_power", "weights", "refine", "edge_rounds")
"""The constants that define a way in the tables."""
PARTS = {"one": 1, "top-bottom": 2}
"""Floors of equal parts: the number of parts from top to bottom."""

FLOORS = {
    "one": "one segment",
    "top-bottom": "upper and lower half",
    "centre": "a box in the middle, half as wide and high as the image, and what is around it",
}
"""Divisions that never look at the picture; none was chosen or tuned by its score. Photographers put things in the
middle, the sky above and the ground below, so these score well without any method."""
BATCH, IMAGES, SIDE = 16, 8, 160
DRAWS = 2000
"""Draws of the bootstrap."""
GRID, POSITION_WEIGHT = 64, 0.5
"""Of K-Means on colours: positions along a side, as many as attention has in Stable Diffusion at 512²; and the weight
of x and y in [0, 1], relative to red, green and blue in [0, 1], chosen once, not tuned."""
TITLES = {
    "paper": "At the papers' constants",
    "best": "Each at its own best on the tuning set",
    "floors": "Floors: divisions that never look at the picture",
}


COLUMNS = {"ACC": ("acc", "acc_ci95", ""), "mIoU": ("miou", "miou_ci95", "")}


def grid() -> dict[str, list[Way]]:
    """The settings that each method is tuned over. Along the pictures' edges, it keeps the best without them."""
    found = {
        "diffseg": [SegmentConfig(kl_threshold=t, weights=w) for w in WEIGHTS for t in THRESHOLDS],
        "kmeans-c": [SegmentConfig(method="kmeans", k=k, weights=w) for w in WEIGHTS for k in CLUSTERS],
        "kmeans-s": [SegmentConfig(method="kmeans", k="truth", weights=w) for w in WEIGHTS],
        "diffcut": [SegmentConfig(method="diffcut", cut_threshold=t, cut_power=p) for p in POWERS for t in CUTS],
    }
    tried: dict[str, list[Way]] = {"colour-c": [Colours(k) for k in CLUSTERS]}
    for name, configs in found.items():
        tried[name] = [replace(config, edge_rounds=0) for config in configs]
    proportional = [config for config in found["diffseg"] if config.weights == "proportional"]
    tried["diffseg+kmeans"] = [replace(config, refine=True, edge_rounds=0) for config in proportional]
    return tried


@dataclass
class Outcome:
    """The results of one way, per image: the counts by DiffSeg's protocol, and the number of segments. images: the
    segments (H, W) of the first images."""

    counts: list[np.ndarray] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)

    def miou(self) -> float:
        return float(mean_iou(class_iou(np.sum(self.counts, 0))))

    def scores(self) -> tuple[Estimate, Estimate]:
        """ACC and mIoU by DiffSeg's protocol (matching per image)."""
        drawn = resample(np.array(self.counts), seed=0, draws=DRAWS)
        ious = drawn.of_classes(map(str, range(drawn.counts.shape[-1])))
        return drawn.of_all("pixel accuracy", accuracy), mean_estimate("mIoU", ious.values())

    def figures(self) -> dict[str, Any]:
        """acc and miou with 95 % bootstrap intervals over images, and the mean number of segments."""
        acc, miou = self.scores()
        return {**_rounded({**keyed(acc, "acc"), **keyed(miou, "miou")}), "segments": self.mean_segments()}

    def mean_segments(self) -> float:
        return round(float(np.mean(self.segments)), 2)


def run_segments(
    out: Path,
    *,
    scenes: int = 500,
    scene_set: SceneSet = "truth",
    tune_scenes: int = 200,
    images: Path | None = None,
    labels: Path | None = None,
    count: int | None = None,
    constants: Path | None = None,
    model: str = "mini",
    device: str | None = None,
) -> dict[str, Any]:
    """Compare methods that need no class names by DiffSeg's protocol, at the papers' constants, at tuned constants (of
    the highest mIoU), and with divisions that never look at the picture.

    Examples:

    - `python -m recipes.studies segments --out segments`

    - `python -m recipes.studies segments --images photos --labels labels --constants segments/results.json --out own`

    Parameters
    ----------
    out
        Folder for results.json, results.md and segments.jpg.
    scenes
        Number of held-out scenes to measure on.
    scene_set
        truth: held-out scenes. shift: scenes with another vendor's art.
    tune_scenes
        Number of scenes to tune each method's constants on.
    images
        Folder of photographs to use instead of scenes.
    labels
        Folder of the photographs' label maps.
    count
        Use only this many photographs, the first by name.
    constants
        results.json of an earlier study: use its constants instead of tuning.
    """
    if (images is None) != (labels is None):
        raise UserError("--images and --labels: photographs are measured with both")
    pairs = scene_pairs(scene_set, scenes) if images is None or labels is None else folder_pairs(images, labels, count)
    best = read_best(constants) if constants else {}
    tune = scene_pairs("tune", tune_scenes) if images is None and not constants else None
    check_writable(out)
    loaded = load_model(model, device=device)
    result: dict[str, Any] = {"model": loaded.info.name, "pairs": pairs.name, "images": len(pairs)}
    if tune is not None:
        result["tune"] = tune.name
        settings = {f"{method} {number}": way for method, group in grid().items() for number, way in enumerate(group)}
        tried = try_ways(loaded, tune, settings, about="tuning")
        for method, group in grid().items():
            best[method] = group[int(np.argmax([tried[f"{method} {number}"].miou() for number in range(len(group))]))]
        for method, way in [*best.items()]:
            if isinstance(way, SegmentConfig) and f"{method}+edges" in PAPER:
                best[f"{method}+edges"] = replace(way, edge_rounds=SegmentConfig.edge_rounds)
    groups = {"paper": PAPER, "best": best} if best else {"paper": PAPER}
    ways = {f"{kind} {name}": way for kind, group in groups.items() for name, way in group.items()}
    blind = {f"blind {floor}": Blind(floor) for floor in FLOORS}
    tested = try_ways(loaded, pairs, {**ways, **blind}, about="measuring")
    for kind, group in groups.items():
        result[kind] = {
            name: {**tested[f"{kind} {name}"].figures(), "constants": constants_of(way)} for name, way in group.items()
        }
        result.setdefault("ahead", {})[kind] = {
            name: ahead_of_floors(tested, kind, name) for name, way in group.items() if isinstance(way, SegmentConfig)
        }
    result["floors"] = {floor: tested[f"blind {floor}"].figures() for floor in FLOORS}
    shown = {name: tested[f"{list(groups)[-1]} {name}"].images for name in PAPER}
    write_atomic(out / "results.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomic(out / "results.md", sections(result, TITLES, COLUMNS).encode())
    write_atomic(out / "segments.jpg", compress_image(segment_sheet(pairs, shown), "JPEG", quality=85))
    return result


def try_ways(model: Model, pairs: Pairs, ways: Mapping[str, Way], *, about: str) -> dict[str, Outcome]:
    """Run every way on every pair; ways of one method share one run of the model per image. about: label of the
    progress.
    """
    tested = {name: Outcome() for name in ways}
    looks = {way.method: way for way in ways.values() if isinstance(way, SegmentConfig)}
    seen: dict[str, Sequence[Any]] = {}
    for number in track(range(len(pairs)), about, len(pairs)):
        if number % BATCH == 0:
            batch = [load() for load in pairs.load[number : number + BATCH]]
            squares = [
                replace(View.whole(image.shape, image), shape=(model.sizes.side, model.sizes.side)).seen
                for image, _ in batch
            ]
            seen = {method: capture_inputs(model, squares, way) for method, way in looks.items()}
        (image, exact), size = batch[number % BATCH], batch[number % BATCH][1].shape
        truth = max(1, len(np.unique(exact[exact >= 0])))
        for name, way in ways.items():
            if isinstance(way, Blind):
                segments = floor_map(way.floor, *size)
            elif isinstance(way, Colours):
                segments = colour_segments(image, way.k)
            else:
                k = truth if way.k == "truth" else way.k
                proposals = propose(seen[way.method][number % BATCH], way, k, 0)
                segments = follow_edges(image, label(proposals, size), way)
            table = contingency(segments, exact, pairs.classes)
            tested[name].counts.append(count_matched(table, match([table])))
            tested[name].segments.append(int(segments.max()) + 1)
            if number < IMAGES:
                tested[name].images.append(segments)
    return tested


def colour_segments(image: np.ndarray, k: int) -> np.ndarray:
    """(H, W) int32: at most k segments of a photograph (H, W, 3) uint8, from K-Means on a grid of colours and
    positions, enlarged.
    """
    colours = (
        np.asarray(Image.fromarray(image).resize((GRID, GRID), Image.Resampling.BOX), np.float64) / 255
    )  # (64, 64, 3)
    along = (np.arange(GRID) + 0.5) / GRID
    position = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1)
    points = np.concatenate([colours, POSITION_WEIGHT * position], axis=-1).reshape(GRID * GRID, 5)
    _, labels = kmeans2(points, k, iter=100, minit="++", rng=0)
    return resize_nearest(labels.reshape(GRID, GRID).astype(np.int32), *image.shape[:2])


def ahead_of_floors(tested: Mapping[str, Outcome], kind: str, method: str) -> dict[str, Any]:
    """Floor → its mean number of segments, acc and miou, and in `ahead` how far the method is above it. K-Means on
    colour and position is among the floors: it looks at the picture but uses no model."""
    outcomes = {floor: tested[f"blind {floor}"] for floor in FLOORS}
    outcomes |= {name: tested[f"{kind} {name}"] for name, way in PAPER.items() if isinstance(way, Colours)}
    own_acc, own_miou = tested[f"{kind} {method}"].scores()
    found: dict[str, Any] = {}
    for floor, outcome in outcomes.items():
        acc, miou = outcome.scores()
        found[floor] = {
            "segments": outcome.mean_segments(),
            "acc": acc.value,
            "miou": miou.value,
            "ahead": {**ahead(own_acc, acc, "acc"), **ahead(own_miou, miou, "miou")},
        }
    return _rounded(found)


def floor_map(floor: str, height: int, width: int) -> np.ndarray:
    """(H, W) int32: a floor's segments, ids from 0 without gaps; fewer segments if the image has too few pixels."""
    if floor == "centre":
        inside = np.minimum(_inwards(height)[:, None], _inwards(width))
        return (inside - inside.min()).astype(np.int32)
    rows = np.arange(height) * min(PARTS[floor], height) // height
    return np.repeat(rows[:, None], width, 1).astype(np.int32)


def ahead(one: Estimate, other: Estimate, key: str) -> dict[str, Any]:
    """How far a score is above another prediction's score of the same images, with a 95 % interval, under `key`.

    Paired: a draw takes the same images for both, so images that are hard for both do not widen the interval. For a
    mean without an interval, also the difference over the classes that enough images show.
    """
    one, other = one.of_same_classes(other)
    found = keyed(one.minus(other), key)
    often = often_shown(one, other)
    if often:
        found[f"{key}_often_shown"] = keyed(often[0].minus(often[1]), key)
    return found


def _inwards(length: int) -> np.ndarray:
    """(length,): 1 in the middle half of the positions, 0 at the edges."""
    along = np.arange(length)
    edge = 2 * np.minimum(along, length - 1 - along) + 1  # from the pixel's centre to the nearer edge, in half pixels
    return np.minimum(edge * 2 // length, 1)


def _rounded(value: Any) -> Any:
    """Shares to four digits; None for NaN."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    if isinstance(value, int):
        return value
    return None if np.isnan(value) else round(float(value), 4)


def read_best(path: Path) -> dict[str, Way]:
    """The best constants in results.json of an earlier study that tuned them."""
    result = read_json(path, dict[str, Any])
    if "best" not in result:
        raise UserError(path, "has no best constants", "results.json of a study of segments that tuned has")
    best: dict[str, Way] = {}
    for name, paper in PAPER.items():
        table = result["best"][name]["constants"]
        if isinstance(paper, SegmentConfig):
            best[name] = replace(paper, **check_table(SegmentConfig, table, f"{path}: {name}"))
        else:
            best[name] = Colours(**table)
    return best


def constants_of(way: Way) -> dict[str, Any]:
    """The constants that define a way: only those that its method uses."""
    if isinstance(way, SegmentConfig):
        return {name: getattr(way, name) for name in STUDIED if name in SEGMENT_OPTIONS[way.method]}
    return {"k": way.k} if isinstance(way, Colours) else {}


def segment_sheet(pairs: Pairs, shown: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """A row per image: the image, its labels, then the segments of each of SHEET, with names beneath. A segment has the
    colour of the label that it is matched with, or is grey."""
    tiles, labels = [], []
    for number in range(len(next(iter(shown.values())))):
        image, exact = pairs.load[number]()
        maps = {name: matched(shown[way][number], exact, pairs.classes) for way, name in SHEET.items()}
        laid_over = [overlay(image, ids) for ids in (np.maximum(exact, 0).astype(np.uint8), *maps.values())]
        tiles += [fit_side(tile, SIDE, Image.Resampling.BILINEAR) for tile in (image, *laid_over)]
        labels += ["image", "labels", *maps]
    return contact_sheet(tiles, columns=len(SHEET) + 2, labels=labels)


def matched(segments: np.ndarray, exact: np.ndarray, classes: int) -> np.ndarray:
    """(H, W) uint8: for each segment the label that it is matched with; those without one have ids shown in greys."""
    owner = match([contingency(segments, exact, classes)])
    ids = [int(label) if label in exact else UNNAMED + number % 50 for number, label in enumerate(owner)]
    return np.where(segments < 0, 0, np.array(ids)[segments]).astype(np.uint8)
