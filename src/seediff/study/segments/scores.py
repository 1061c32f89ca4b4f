"""Scores many ways to divide an image together: all ways with the same `Key` share one run of the model per image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from PIL import Image

from ...attention.windows import Window, cut, windows
from ...config.constants import SegmentConfig
from ...config.methods import GRAPH_OPTIONS
from ...config.names import BACKGROUND
from ...dataset.labels import open_labels
from ...errors import UserError
from ...evaluate.floors import floor_map
from ...files.label_maps import resize_nearest
from ...files.photographs import find_photos, read_photo
from ...metrics.matching import Tally, contingency, count_segments, match, match_foreground, tally
from ...metrics.scores import Tallies, accuracy, bootstrap, class_iou, mean_iou, stack
from ...mini.scenes import CLASS_IDS, load_scenes
from ...models.registry import Model
from ...report.progress import tracked
from ...segments.graph import Graph, build_graph, divide_graph
from ...segments.make import fit_to_edges, look
from ...segments.methods import Seen, segment_method
from ...segments.suppression import label

BATCH = 16
Key = tuple[bool, int]
"""The values of a `SegmentConfig` that `look` depends on."""


@dataclass(frozen=True)
class Floor:
    """K-Means on colour and position, without a model. k: the number of clusters; "truth": as many as the label map shows classes."""

    k: Annotated[int, Meta(ge=1)] | Literal["truth"]


@dataclass(frozen=True)
class Blind:
    """A floor of `evaluate.floors`, which does not look at the picture. like: for `grid`, the name of an earlier way, whose number of
    segments it has."""

    floor: str
    like: str = ""


Way = SegmentConfig | Floor | Blind


@dataclass
class Outcome:
    """The results of one way. Per image: the counts by DiffSeg's protocol and, if there is a background, by DiffCut's (`match_foreground`),
    the number of segments, and the seconds that it took. pictures: the segments (H, W) of the first images."""

    tallies: list[Tally] = field(default_factory=list)
    foreground: list[Tally] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """acc and miou by DiffSeg's protocol (matching per image) with 95 % bootstrap intervals over images, IoU of each class that occurs,
        the mean number of segments and, if there is a background, mIoU by DiffCut's protocol."""
        counts = self.counts()
        iou = class_iou(counts.tp.sum(0), counts.fp.sum(0), counts.fn.sum(0))
        intervals = bootstrap(counts)
        return {
            "acc": _short(accuracy(counts.tp.sum(0), counts.pixels.sum())),
            "acc_ci95": [_short(v) for v in intervals.acc],
            "miou": _short(mean_iou(iou)),
            "miou_ci95": [_short(v) for v in intervals.miou],
            "segments": round(float(np.mean(self.segments)), 2),
            **(self._foreground_figures() if self.foreground else {}),
            "per_class": {str(i): _short(v) for i, v in enumerate(iou) if not np.isnan(v)},
        }

    def _foreground_figures(self) -> dict[str, Any]:
        counts = stack(self.foreground)
        return {"miou_diffcut": _short(_miou(counts)), "miou_diffcut_ci95": [_short(v) for v in bootstrap(counts).miou]}

    def counts(self) -> Tallies:
        return stack(self.tallies)

    def milliseconds(self) -> float:
        """The median time per image, from the model's output to the label map."""
        return round(1000 * float(np.median(self.seconds)), 1)

    def miou(self) -> float:
        return _miou(self.counts())


def _miou(counts: Tallies) -> float:
    return float(mean_iou(class_iou(counts.tp.sum(0), counts.fp.sum(0), counts.fn.sum(0))))


def try_ways(
    model: Model, pairs: Pairs, ways: Mapping[str, Way], *, about: str, seed: int = 0, pictures: int = 0, share: bool = False
) -> dict[str, Outcome]:
    """Run every way on every pair. about: label of the progress. seed: for K-Means. pictures: the number of first images whose segments are
    kept. share: whether ways share an image's graphs; `seconds` then means nothing."""
    tested = {name: Outcome() for name in ways}
    for number, image, label_map, seen in tracked(_looked(model, pairs, list(ways.values())), about, len(pairs)):
        truth = max(1, count_segments(label_map, unlabelled=-1))
        graphs: dict[Any, Graph] = {}
        for name, way in ways.items():
            pieces = tested[way.like].segments[-1] if isinstance(way, Blind) and way.like else truth
            started = perf_counter()
            segments = divide(image, seen, way, truth, label_map.shape, seed, pieces=pieces, graphs=graphs if share else {})
            tested[name].seconds.append(perf_counter() - started)
            table = contingency(segments, label_map, pairs.classes)
            tested[name].tallies.append(tally(table, match([table])))
            if pairs.background:
                joined = contingency(match_foreground(segments, label_map, pairs.classes)[segments], label_map, pairs.classes)
                tested[name].foreground.append(tally(joined, match([joined])))
            tested[name].segments.append(int(segments.max()) + 1)
            if number < pictures:
                tested[name].pictures.append(segments)
    return tested


def divide(
    image: np.ndarray,
    seen: Mapping[Key, Seen],
    way: Way,
    truth: int,
    size: Sequence[int],
    seed: int,
    *,
    pieces: int = 1,
    graphs: dict[Any, Graph],
) -> np.ndarray:
    """(H, W) int32: the segments of one image by one way. truth: the number of segments in the image's label map. size: (H, W). pieces: the
    number of segments for a grid. graphs: the image's graphs built so far; a new graph is added."""
    if isinstance(way, Blind):
        return floor_map(way.floor, size[0], size[1], pieces=pieces)
    if isinstance(way, Floor):
        return floor_segments(image, truth if way.k == "truth" else int(way.k), seed=seed)
    if way.divided:
        key = way.divided, way.timestep_shown, *(getattr(way, option) for option in GRAPH_OPTIONS[way.divided])
        if key not in graphs:
            graphs[key] = build_graph(seen[_key(way)], way)
        proposals = divide_graph(graphs[key], way)
    else:
        proposals = segment_method(way).propose(seen[_key(way)], way, truth if way.k == "truth" else way.k, seed)
    return fit_to_edges(image, label(proposals, size).numpy(), way)


def _looked(model: Model, pairs: Pairs, ways: Sequence[Way]) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[Key, Seen]]]:
    """Every pair with its number, and the outputs of `look` for it that the ways need."""
    looks = {_key(way): way for way in ways if isinstance(way, SegmentConfig)}
    shape = (model.image_side, model.image_side)
    for start in range(0, len(pairs), BATCH):
        batch = [load() for load in pairs.load[start : start + BATCH]]
        squares = [cut(image, Window(0, 0, *image.shape[:2]), shape) for image, _ in batch]
        seen = {key: look(model, squares, way) for key, way in looks.items()}
        for offset, (image, label_map) in enumerate(batch):
            yield start + offset, image, label_map, {key: of_batch[offset] for key, of_batch in seen.items()}


def _key(way: SegmentConfig) -> Key:
    return way.divides_features, way.timestep_shown


def _short(value: Any) -> float:
    return round(float(value), 4)


GRID = 64  # positions along a side, as many as attention has in Stable Diffusion at 512²
POSITION_WEIGHT = 0.5  # of x and y in [0, 1], relative to red, green and blue in [0, 1]: chosen once, not tuned
ITERATIONS = 100


def kmeans(points: np.ndarray, k: int, *, seed: int = 0) -> np.ndarray:
    """(n,) int: the cluster, of at most k, of each point (n, d). Lloyd's iterations from k-means++ centres."""
    rng = np.random.default_rng(seed)
    centres = points[rng.integers(len(points))][None]
    distance = ((points - centres[0]) ** 2).sum(1)
    while len(centres) < k and distance.any():  # with fewer distinct points than clusters there is nothing left to draw
        chosen = points[rng.choice(len(points), p=distance / distance.sum())]
        centres = np.concatenate([centres, chosen[None]])
        distance = np.minimum(distance, ((points - chosen) ** 2).sum(1))
    labels = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        nearest = ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
        if (nearest == labels).all():
            break
        labels = nearest
        for cluster in np.unique(labels):  # a cluster that has lost all its points keeps its centre
            centres[cluster] = points[labels == cluster].mean(0)
    return labels


def floor_segments(image: np.ndarray, k: int, *, seed: int = 0) -> np.ndarray:
    """(H, W) int32: at most k segments of a photograph (H, W, 3) uint8, from K-Means on a grid of 64 × 64, enlarged (nearest).

    Raises UserError unless 1 ≤ k ≤ 64².
    """
    if not 1 <= k <= GRID * GRID:
        raise UserError(f"k = {k}: must be between 1 and {GRID * GRID}, the positions of the grid")
    colours = np.asarray(Image.fromarray(image).resize((GRID, GRID), Image.Resampling.BOX), np.float64) / 255  # (64, 64, 3)
    along = (np.arange(GRID) + 0.5) / GRID
    position = np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1)
    points = np.concatenate([colours, POSITION_WEIGHT * position], axis=-1).reshape(GRID * GRID, 5)
    labels = kmeans(points, k, seed=seed).reshape(GRID, GRID).astype(np.int32)
    return resize_nearest(labels, *image.shape[:2])


@dataclass(frozen=True)
class Pairs:
    """Images with label maps. name: a description for people. classes: their number, including the background of scenes. load: functions
    that return an image (H, W, 3) uint8 and a label map (H, W) int32, −1 = unlabelled, both square. background: whether class 0 is the
    background."""

    name: str
    classes: int
    load: Sequence[Callable[[], tuple[np.ndarray, np.ndarray]]]
    background: bool = False

    def __len__(self) -> int:
        return len(self.load)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (load() for load in self.load)


def scene_pairs(name: Literal["truth", "shift", "tune"], count: int | None = None) -> Pairs:
    """The first `count` scenes of a set, with VOC's ids and the background as class 0."""
    scenes = load_scenes(name, count)
    return Pairs(
        f"{len(scenes)} {name} scenes",
        max(CLASS_IDS.values()) + 1,
        [lambda scene=scene: (scene.image, scene.label_map.astype(np.int32)) for scene in scenes],
        background=True,
    )


def folder_pairs(images: Path, labels: Path, num_classes: int | None = None, count: int | None = None) -> Pairs:
    """The photographs below a folder that have a label map, each cut to its centred square, as in DiffSeg's evaluation."""
    known = open_labels(labels, num_classes=num_classes)
    inside = labels.resolve() != images.resolve() and labels.resolve().is_relative_to(images.resolve())
    photos = find_photos([images], exclude=labels if inside else None).photos  # label maps are pictures, too
    pairs = [(photo.path, label) for photo in photos if (label := known.find(photo.name))]
    if not pairs:
        raise UserError(f"{images}: none of its photographs has a label map in {labels}")

    def load(path: Path, label: str) -> tuple[np.ndarray, np.ndarray]:
        photo, label_map = read_photo(path), known.read(label)
        if photo.shape[:2] != label_map.shape:
            raise UserError(f"{path}: {photo.shape[:2]}, but its label map is {label_map.shape}; both are (height, width)")
        centre = windows(label_map.shape[0], label_map.shape[1], "crop")[0].slices
        return photo[centre], label_map[centre]

    chosen = pairs[:count]
    about = f"{len(chosen)} photographs of {images.resolve().parent.name} ({known.layout} labels, {len(known.classes)} classes)"
    background = known.classes[0] == BACKGROUND
    return Pairs(about, len(known.classes), [partial(load, path, label) for path, label in chosen], background)


def chosen_pairs(
    images: Path | None, labels: Path | None, count: int | None, scene_set: Literal["truth", "shift", "tune"], scenes: int
) -> Pairs:
    """A study's pairs from its options: photographs and labels if folders are given, else scenes. Raises UserError if only one of the two
    folders is given."""
    if (images is None) != (labels is None):
        raise UserError(
            f"--{'labels' if labels is None else 'images'} is missing: photographs are measured with both --images and --labels"
        )
    if count is not None and count < 1:
        raise UserError(f"count = {count}", "must be at least 1")
    return scene_pairs(scene_set, scenes) if images is None or labels is None else folder_pairs(images, labels, count=count)
