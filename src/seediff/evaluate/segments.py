"""`seediff evaluate segments`: compares unnamed segments with labels, one image in memory at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..config.names import SEGMENT
from ..dataset import native
from ..dataset.native_folder import open_native
from ..dataset.sample import Sample
from ..dataset.split import check_seed
from ..dataset.truths import open_truths
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
from ..metrics.scores import accuracy, bootstrap, class_iou, mean_iou, stack
from .semantic import make_table, percents, plain, size_of

if TYPE_CHECKING:
    from rich.table import Table

Missing = Literal["error", "wrong", "skip"]
Progress = Callable[[int, int, str], None]
"""Called with (images done, total images, current image)."""


@dataclass(frozen=True)
class MatchedClass:
    """One class: IoU in [0, 1] and its interval, NaN if it is neither labelled nor predicted; pixel counts over the
    set.
    """

    iou: float
    iou_ci95: tuple[float, float]
    tp: int
    fp: int
    fn: int


@dataclass(frozen=True)
class SegmentScores:
    """The result of an evaluation. Scores are in [0, 1]; intervals (low, high) are 95 % of a bootstrap over images.

    labels: a description of the labels in one line. acc: share of labelled pixels that are right. miou: mean IoU over
    classes that are labelled or predicted somewhere. missing: labels without a prediction. unpredicted: share of the
    labelled pixels that no segment covers; they count as wrong. size: side that labels were resized to, None for their
    own size. center_crop: whether only the centred square counted.
    """

    protocol: MatchingProtocol
    labels: str
    acc: float
    acc_ci95: tuple[float, float]
    miou: float
    miou_ci95: tuple[float, float]
    per_class: Mapping[str, MatchedClass]
    images: int
    missing: int
    missing_are: Missing
    pixels: int
    unpredicted: float
    size: int | None
    center_crop: bool
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
    missing: Missing = "error",
    seed: int = 0,
    draws: int = 2000,
    progress: Progress | None = None,
) -> SegmentScores:
    """Compare a folder of segment maps with a folder of labels.

    predictions: see `open_segments`; named like the labels, see `label_maps.pair`. labels, num_classes, split, void:
    see `truths.open_truths`. names: a text file of the labels to evaluate, one per line. center_crop: only the centred
    square of each image counts. size: resize that square to size × size pixels (nearest), as in DiffSeg's paper (512,
    or 320). A prediction has the size of its label or of the square; resize_predictions resizes it (nearest). missing:
    labels without a prediction are an error, count as wrong, or are skipped. seed, draws: for the bootstrap. Raises
    UserError naming the faulty file or argument.
    """
    if protocol not in MATCHING_PROTOCOLS:
        raise UserError("protocol", f"{protocol} must be one of {', '.join(MATCHING_PROTOCOLS)}")
    if missing not in get_args(Missing):
        raise UserError("missing", f"{missing} must be one of {', '.join(get_args(Missing))}")
    if size is not None and not 1 <= size <= 8192:
        raise UserError("size", f"{size} must be a side in pixels between 1 and 8192")
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
    check_seed(seed)
    truths = open_truths(labels, split, num_classes=num_classes, void=void, maps_first=True)
    if num_classes not in (None, len(truths.names)):
        problem = f"{num_classes}: {truths.about}"
        raise UserError("num_classes", problem, "leave it out; it is for folders without classes.txt")
    known = {sample.name: sample for sample in truths}
    about = truths.about
    if names is not None:
        known = select(known, names)
        about += f"; {len(known)} of them listed in {names}"
    paired, absent = open_segments(Path(predictions), known)
    if not paired or (absent and missing == "error"):
        problem = f"has no prediction for {len(absent)} of {len(known)} labels, the first '{absent[0]}'"
        fix = "missing wrong counts them as wrong, missing skip leaves them out" if paired else ""
        raise UserError(predictions, problem, fix)
    chosen = [name for name in known if name in paired or missing == "wrong"]
    first, unpredicted, square = min(truths.names), 0, center_crop or size is not None

    def tables() -> Iterator[Contingency]:
        nonlocal unpredicted
        for number, name in enumerate(chosen):
            if progress:
                progress(number, len(chosen), name)
            pair_ = _read_pair(known[name], first, paired.get(name), square, size, resize_predictions)
            table = contingency(*pair_, len(truths.names))
            unpredicted += int(table.unpredicted.sum())
            yield table

    tallies = stack(tally_images(tables(), protocol))
    if progress:
        progress(len(chosen), len(chosen), "intervals")
    if not tallies.pixels.any():
        raise UserError(f"{labels}: no pixel of the {len(chosen)} labels is labelled, so there is nothing to evaluate")
    tp, fp, fn = (counts.sum(0) for counts in (tallies.tp, tallies.fp, tallies.fn))
    pixels, iou = int(tallies.pixels.sum()), class_iou(tp, fp, fn)
    intervals = bootstrap(tallies, seed=seed, draws=draws)
    return SegmentScores(
        protocol=protocol,
        labels=about,
        acc=float(accuracy(tp, pixels)),
        acc_ci95=intervals.acc,
        miou=float(mean_iou(iou)),
        miou_ci95=intervals.miou,
        per_class={
            name: MatchedClass(
                iou[i].item(), tuple(intervals.iou[i].tolist()), tp[i].item(), fp[i].item(), fn[i].item()
            )
            for i, name in enumerate(truths.names.values())
        },
        images=len(tallies.pixels),
        missing=len(absent),
        missing_are=missing,
        pixels=pixels,
        unpredicted=unpredicted / pixels,
        size=size,
        center_crop=square,
        seed=seed,
    )


def select(known: Mapping[str, Sample], names: Path) -> dict[str, Sample]:
    """Only the samples that a text file lists, one name or path per line."""
    chosen = {}
    for line in filter(None, map(str.strip, read_lines(names))):
        name = find_name(known, re.sub(r"\.(png|jpe?g)$", "", line, flags=re.IGNORECASE))
        if name is None:
            raise UserError(names, f"lists '{line}', which is not the name of one label")
        chosen[name] = known[name]
    if not chosen:
        raise UserError(names, "lists no names")
    return chosen


@dataclass(frozen=True)
class SegmentMap:
    """The segments of one picture. where: their name in errors. read: reads them, (H, W) int32, −1 in no segment."""

    where: str
    read: Callable[[], np.ndarray]


def open_segments(folder: Path, labels: Iterable[str]) -> tuple[dict[str, SegmentMap], list[str]]:
    """Label → its segments, and the labels without any. folder: a dataset of `seediff segment`, whose objects are the
    segments, with corrections; or PNG label maps, whose ids are. Raises UserError."""
    if (folder / native.METADATA).is_file() and SEGMENT in native.read_classes(folder):
        samples = {sample.name: sample for sample in open_native(folder)[1]}
        matched, missing = match_names(labels, samples, folder)
        maps = {
            label: SegmentMap(f"sample '{name}'", partial(read_objects, samples[name]))
            for label, name in matched.items()
        }
        return maps, missing
    paths, missing = pair(labels, folder)
    return {label: SegmentMap(str(path), partial(read_segment_ids, path)) for label, path in paths.items()}, missing


def read_objects(sample: Sample) -> np.ndarray:
    """(H, W) int32: the number of each pixel's object, from 0; −1 in none."""
    objects = sample.instances
    if objects is None:
        raise UserError(f"sample '{sample.name}'", "has no segments", "`seediff segment` writes them to instances/")
    return objects.numbers.astype(np.int32) - 1


def _read_pair(
    sample: Sample, first: int, segments: SegmentMap | None, square: bool, size: int | None, resize_predictions: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The prediction for a sample and its label, both int32 of one shape: labels 0, 1, … of ids from `first` on, −1 for
    ignored; without segments the prediction is −1 throughout. square: only the centred square.
    """
    stored = sample.unchecked_labels()
    whole = np.where(stored == IGNORE, -1, stored.astype(np.int32) - first)

    def cut(array: np.ndarray) -> np.ndarray:
        array = centre_square(array) if square else array
        return resize_nearest(array, size, size) if size else array

    label = cut(whole)
    if segments is None:
        return np.full(label.shape, -1, np.int32), label
    prediction = segments.read()
    if resize_predictions and prediction.shape not in (whole.shape, label.shape):
        # A square prediction for a crop belongs to the square; any other prediction belongs to the whole image.
        of_square = prediction.shape[0] == prediction.shape[1] and label.shape[0] == label.shape[1]
        prediction = resize_nearest(prediction, *(label if of_square else whole).shape)
    if prediction.shape == whole.shape:
        return cut(prediction), label
    if prediction.shape == label.shape:
        return prediction, label
    cut_to = f", cut to {size_of(label)}" if label.shape != whole.shape else ""
    problem = f"is {size_of(prediction)} pixels, but its label '{sample.name}' {size_of(whole)}{cut_to}"
    fix = "resize_predictions scales it (nearest); center_crop or size evaluates a square"
    raise UserError(segments.where, problem, fix)


def to_json(scores: SegmentScores) -> dict[str, Any]:
    """The scores as JSON values with the names of SegmentScores' fields; per_class holds MatchedClass by name."""
    return plain(asdict(scores))


def score_table(scores: SegmentScores) -> Table:
    """A table for the terminal: every class that is labelled or predicted, then the mean and the accuracy."""
    from rich.text import Text

    title = f"protocol {scores.protocol}, {plural(scores.images, 'image')}"
    table = make_table(title, "", "IoU", "95 % CI", "labelled pixels")
    for name, c in scores.per_class.items():
        if not math.isnan(c.iou):
            table.add_row(Text(name), f"{c.iou:.1%}", percents(c.iou_ci95), f"{(c.tp + c.fn) / scores.pixels:.1%}")
    table.add_section()
    table.add_row("mIoU", f"{scores.miou:.1%}", percents(scores.miou_ci95), "")
    table.add_row("ACC", f"{scores.acc:.1%}", percents(scores.acc_ci95), f"{scores.pixels:,}")
    return table


def notes(scores: SegmentScores) -> list[str]:
    """Notes about the scores for readers, one per line."""
    lines = [scores.labels]
    if scores.size:
        lines.append(f"Labels: centre square, {scores.size} × {scores.size} pixels.")
    elif scores.center_crop:
        lines.append("Labels: centre square.")
    if scores.missing:
        counted = "counted as wrong" if scores.missing_are == "wrong" else "left out"
        lines.append(f"{scores.missing} labels without prediction were {counted}.")
    if scores.unpredicted >= 0.0005:
        hint = "" if scores.center_crop else " (--center-crop evaluates the centre square only)"
        lines.append(f"{scores.unpredicted:.1%} of the labelled pixels have no segment and count as wrong{hint}.")
    return lines
