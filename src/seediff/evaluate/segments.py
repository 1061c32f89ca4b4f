"""`seediff evaluate segments`: compares unnamed segments with labels, one image in memory at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.class_names import SEGMENT
from ..dataset import native
from ..dataset.dataset import open_truths
from ..dataset.native import open_native
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.label_maps import (
    IGNORE,
    centre_square,
    find_name,
    match_names,
    pair,
    read_segment_ids,
    resize_nearest,
)
from ..files.messages import plural
from ..files.reading import read_lines
from ..metrics.matching import MATCHING_PROTOCOLS, Contingency, MatchingProtocol, contingency, tally_images
from ..metrics.scores import bootstrap, mean_iou, stack
from ..workers import Progress
from .semantic import check_bootstrap
from .tables import ScoreTable


@dataclass(frozen=True)
class MatchedClass:
    """The scores of one class over all images: the IoU in [0, 1] and its interval, NaN for a class that is neither
    labelled nor predicted, and numbers of pixels."""

    iou: float
    iou_ci95: tuple[float, float]
    tp: int
    fp: int
    fn: int


@dataclass(frozen=True)
class SegmentScores:
    """The result of an evaluation. Scores are in [0, 1]; intervals (low, high) are 95 % of a bootstrap over images."""

    protocol: MatchingProtocol
    labels: str
    """A description of the labels in one line."""
    acc: float
    """The share of labelled pixels with the right class."""
    acc_ci95: tuple[float, float]
    miou: float
    """The mean IoU over classes that are labelled or predicted somewhere."""
    miou_ci95: tuple[float, float]
    per_class: Mapping[str, MatchedClass]
    images: int
    pixels: int
    unpredicted: float
    """The share of the labelled pixels that no segment covers; they count as wrong."""
    size: int | None
    """The side to which labels were resized; None: their own size."""
    center_crop: bool
    """Whether only the centred square counted."""
    seed: int


def evaluate_segments(
    predictions: Path | str,
    labels: Path | str,
    *,
    protocol: MatchingProtocol = "diffseg",
    num_classes: int | None = None,
    split: str | None = None,
    void: Sequence[int] = (),
    names: Path | None = None,
    center_crop: bool = False,
    size: int | None = None,
    resize_predictions: bool = False,
    seed: int = 0,
    draws: int = 2000,
    progress: Progress = lambda done, total, name: None,
) -> SegmentScores:
    """Compare a folder of segment maps with a folder of labels.

    predictions: see `open_segments`; named like the labels, see `label_maps.pair`. labels, num_classes, split, void:
    see `truths.open_truths`. names: a text file of the labels to evaluate, one per line. center_crop: only the centred
    square of each image counts. size: resize that square to size × size pixels (nearest), as in DiffSeg's paper (512,
    or 320). A prediction has the size of its label or of the square; resize_predictions resizes it (nearest). seed,
    draws: for the bootstrap. Raises UserError naming the faulty file or argument.
    """
    if protocol not in MATCHING_PROTOCOLS:
        raise UserError("protocol", f"{protocol} must be one of {', '.join(MATCHING_PROTOCOLS)}")
    if size is not None and not 1 <= size <= 8192:
        raise UserError("size", f"{size} must be a side in pixels between 1 and 8192")
    check_bootstrap(seed, draws)
    truths = open_truths(labels, split, num_classes=num_classes, void=void, maps_first=True)
    if num_classes not in (None, len(truths.names)):
        problem = f"{num_classes}: {truths.about}"
        raise UserError("num_classes", problem, "leave it out; it is for folders without classes.txt")
    samples = {sample.name: sample for sample in truths}
    about = "; ".join([truths.about, *truths.notes])
    if names is not None:
        samples = select(samples, names)
        about += f"; {len(samples)} of them listed in {names}"
    paired, absent = open_segments(Path(predictions), samples)
    if absent:
        problem = f"has no prediction for {len(absent)} of {len(samples)} labels, the first '{absent[0]}'"
        raise UserError(predictions, problem, "list the labels to evaluate (--list)")
    lowest_id = min(truths.names)
    square = center_crop or size is not None

    # 1. One table per image. `tally_images` takes one after the other and keeps only its counts, so the pixels that no
    # segment covers are counted on the way.
    unpredicted = 0

    def tables() -> Iterator[Contingency]:
        nonlocal unpredicted
        for number, (name, sample) in enumerate(samples.items()):
            progress(number, len(samples), name)
            arrays = _read_pair(sample, lowest_id, paired[name], square, size, resize_predictions)
            table = contingency(*arrays, len(truths.names))
            unpredicted += int(table.unpredicted.sum())
            yield table

    tallies = stack(tally_images(tables(), protocol))
    progress(len(samples), len(samples), "intervals")
    if not np.any(tallies.pixels):
        raise UserError(labels, f"no pixel of the {len(samples)} labels is labelled, so there is nothing to evaluate")

    # 2. Scores of the set, and their intervals.
    whole, intervals = tallies.total(), bootstrap(tallies, seed=seed, draws=draws)
    counts = (whole.tp.tolist(), whole.fp.tolist(), whole.fn.tolist())
    per_class = map(MatchedClass, whole.iou.tolist(), map(tuple, intervals.iou.tolist()), *counts)
    return SegmentScores(
        protocol=protocol,
        labels=about,
        acc=float(whole.accuracy),
        acc_ci95=intervals.acc,
        miou=float(mean_iou(whole.iou)),
        miou_ci95=intervals.miou,
        per_class=dict(zip(truths.names.values(), per_class, strict=True)),
        images=len(tallies.tp),
        pixels=int(whole.pixels),
        unpredicted=unpredicted / int(whole.pixels),
        size=size,
        center_crop=square,
        seed=seed,
    )


def select(samples: Mapping[str, Sample], names: Path) -> dict[str, Sample]:
    """The samples that a text file lists, one name or path per line. Raises UserError."""
    chosen = {}
    for line in filter(None, map(str.strip, read_lines(names))):
        name = find_name(samples, re.sub(r"(?i)\.(png|jpe?g)$", "", line))
        if name is None:
            raise UserError(names, f"lists '{line}', which is not the name of one label")
        chosen[name] = samples[name]
    if not chosen:
        raise UserError(names, "lists no names")
    return chosen


def open_segments(folder: Path, labels: Iterable[str]) -> tuple[Mapping[str, Sample | Path], list[str]]:
    """(found, missing). found: label → what `read_segments` reads for it. missing: the labels without segments. folder:
    a dataset of `seediff segment`, whose objects, with corrections, are the segments; or PNG label maps, whose ids are
    the segments. Raises UserError."""
    # Datasets of other commands have classes, not segments, as objects: their label maps are compared.
    if not (folder / native.METADATA).is_file() or SEGMENT not in native.read_classes(folder):
        return pair(labels, folder)
    samples = {sample.name: sample for sample in open_native(folder)[1]}
    matched, missing = match_names(labels, samples, folder)
    return {label: samples[name] for label, name in matched.items()}, missing


def read_segments(segments: Sample | Path) -> np.ndarray:
    """(H, W) int32: the number of each pixel's segment, from 0; −1: no segment. Raises UserError."""
    if isinstance(segments, Path):
        return read_segment_ids(segments)
    objects = segments.instances
    if objects is None:
        raise UserError(_name_of(segments), "has no segments", "`seediff segment` writes them to instances/")
    return objects.numbers.astype(np.int32) - 1


def size_of(array: np.ndarray) -> str:
    """`640 × 480`: width and height in pixels."""
    return f"{array.shape[1]} × {array.shape[0]}"


def _name_of(segments: Sample | Path) -> str:
    """The name of segments in errors."""
    return str(segments) if isinstance(segments, Path) else f"sample '{segments.name}'"


def _read_pair(
    sample: Sample, lowest_id: int, segments: Sample | Path, square: bool, size: int | None, resize: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, label) of a sample, both int32 of one shape. In the label, 0 is the id `lowest_id`, and −1 is
    ignored. square: take only the centred square. size: the side to which the square is resized. resize: a prediction
    of another size is resized to the size of its label. Raises UserError."""
    stored = sample.unchecked_labels()
    whole = np.where(stored == IGNORE, -1, stored.astype(np.int32) - lowest_id)

    def cut(array: np.ndarray) -> np.ndarray:
        if square:
            array = centre_square(array)
        if size:
            array = resize_nearest(array, size, size)
        return array

    label = cut(whole)
    prediction = read_segments(segments)
    if resize and prediction.shape not in (whole.shape, label.shape):
        # A square prediction for a crop belongs to the square; any other prediction belongs to the whole image.
        squares = prediction.shape[0] == prediction.shape[1] and label.shape[0] == label.shape[1]
        prediction = resize_nearest(prediction, *(label.shape if squares else whole.shape))
    if prediction.shape == whole.shape:
        return cut(prediction), label
    if prediction.shape == label.shape:
        return prediction, label
    problem = f"is {size_of(prediction)} pixels, but its label '{sample.name}' {size_of(whole)}"
    if label.shape != whole.shape:
        problem += f", cut to {size_of(label)}"
    fix = "resize_predictions scales it (nearest); center_crop or size evaluates a square"
    raise UserError(_name_of(segments), problem, fix)


def score_table(scores: SegmentScores) -> ScoreTable:
    """The table of every class that is labelled or predicted, then of the mean and the accuracy."""
    title = f"protocol {scores.protocol}, {plural(scores.images, 'image')}, {scores.pixels:,} pixels"
    rows = []
    for name, c in scores.per_class.items():
        if not math.isnan(c.iou):
            rows.append((name, c.iou, c.iou_ci95, (c.tp + c.fn) / scores.pixels))
    sums = (("mIoU", scores.miou, scores.miou_ci95, ""), ("ACC", scores.acc, scores.acc_ci95, ""))
    return ScoreTable(title, ("IoU", "95 % CI", "labelled pixels"), rows, sums)


def notes(scores: SegmentScores) -> list[str]:
    """Notes about the scores for readers, one per line."""
    lines = [scores.labels]
    if scores.size:
        lines.append(f"Labels: centre square, {scores.size} × {scores.size} pixels.")
    elif scores.center_crop:
        lines.append("Labels: centre square.")
    if scores.unpredicted >= 0.0005:
        note = f"{scores.unpredicted:.1%} of the labelled pixels have no segment and count as wrong"
        if not scores.center_crop:
            note += " (--center-crop evaluates the centre square only)"
        lines.append(f"{note}.")
    return lines
