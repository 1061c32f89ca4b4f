"""`seediff evaluate segments`: compares unnamed segments with labels. metrics/matching.py matches segments with
classes, one image in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..config.class_names import SEGMENT
from ..config.sets import MatchingProtocol, SegmentComparison
from ..dataset import native
from ..dataset.dataset import Dataset
from ..dataset.reading import Reading
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.label_maps import IGNORE, centre_square, map_folder, read_segment_ids, resize_nearest
from ..files.names import match_names
from ..files.photo_files import named_images
from ..files.reading import read_lines, real
from ..metrics.matching import Contingency, contingency, count_images
from ..metrics.scores import labelled
from ..workers import Progress
from .protocols import Protocol
from .score_list import Scores, as_json, check_bootstrap, score_all, without_interval


@dataclass(frozen=True)
class SegmentScores(Scores):
    """The scores of segments. A segment counts as the class with which it was matched."""

    labels: str
    """A description of the labels in one line."""
    unpredicted: float
    """The share of the labelled pixels that no segment covers; they count as wrong."""
    size: int | None
    """The side of the centred square that was evaluated; None: all of each image, at its own size."""
    reading: Reading
    """How the labels were understood."""

    def to_json(self) -> dict[str, Any]:
        """The scores as JSON values, with null for NaN."""
        tp, fp, fn = self.counts.sum(0)
        about = {"labels": self.labels, "unpredicted": self.unpredicted, "size": self.size}
        return as_json({**self.about(), **about, **self.keyed(tp=tp, fp=fp, fn=fn)})


def evaluate_segments(
    predictions: Path | str, labels: Path | str, *, progress: Progress = lambda done, total, name: None, **options: Any
) -> SegmentScores:
    """Compare a folder of segment maps with a folder of labels.

    predictions: a dataset of `seediff segment`, or PNG label maps named like the labels. A prediction must have the
    size of its label, or with `size` of the square, which is resized by the nearest pixel. labels: see `Dataset.open`.
    options: fields of `SegmentComparison` (config/sets.py). Raises UserError naming the faulty file or argument.
    """
    how = SegmentComparison(**options)
    size, num_classes = how.size, how.num_classes
    known = get_args(MatchingProtocol)
    if how.protocol not in known:
        raise UserError("protocol", f"{how.protocol} must be one of {', '.join(known)}")
    if size is not None and not 1 <= size <= 8192:
        raise UserError("size", f"{size} must be a side in pixels between 1 and 8192")
    check_bootstrap(how.seed, how.draws)
    about_maps = {"num_classes": num_classes, "void": how.void or None}
    truths = Dataset.open(labels, split=how.split, labels_alone=True, **about_maps).watched()
    if num_classes not in (None, len(truths.names)):
        problem = f"{num_classes}: {truths.title} has its own"
        raise UserError("num_classes", problem, "leave it out; it is for folders without classes.txt")
    samples = {sample.name: sample for sample in truths}
    about = "; ".join([truths.about, *truths.notes])
    if real(predictions) == real(labels):
        about += "; predictions and labels are the same folder: labels are compared with themselves"
    if how.names is not None:
        samples = select(samples, how.names)
        about += f"; {len(samples)} of them listed in {how.names}"
    paired, absent = match_segments(Path(predictions), samples)
    if absent:
        problem = f"has no prediction for {len(absent)} of {len(samples)} labels, the first '{absent[0]}'"
        raise UserError(predictions, problem, "list the labels to evaluate (--list)")
    lowest_id = min(truths.names)

    # 1. One table per image. `count_images` takes one after the other and does not keep them, so the pixels that no
    # segment covers are counted here.
    unpredicted = 0

    def tables() -> Iterator[Contingency]:
        nonlocal unpredicted
        for number, (name, sample) in enumerate(samples.items()):
            progress(number, len(samples), name)
            arrays = _read_pair(sample, lowest_id, paired[name], size)
            table = contingency(*arrays, len(truths.names))
            unpredicted += int(table.unpredicted.sum())
            yield table

    counts = np.array([*count_images(tables(), how.protocol)])
    progress(len(samples), len(samples), "intervals")
    if not counts.any():
        raise UserError(labels, f"no pixel of the {len(samples)} labels is labelled, so there is nothing to evaluate")

    # 2. Scores of the set, and their intervals
    classes = tuple(truths.names.values())
    missed = unpredicted / int(labelled(counts).sum())
    chosen = Protocol(how.protocol, classes, classes)
    scores = score_all(chosen, {"all": counts}, accuracy_name="ACC", seed=how.seed, draws=how.draws)
    return SegmentScores(chosen, scores, counts, how.seed, about, missed, size, truths.reading)


def select(samples: Mapping[str, Sample], names: Path) -> dict[str, Sample]:
    """Name → sample, for the samples that a text file lists, one name or path per line. Raises UserError."""
    lines = [re.sub(r"(?i)\.(png|jpe?g)$", "", line) for line in map(str.strip, read_lines(names)) if line]
    chosen, unknown = match_names(lines, samples, names)
    if unknown:
        raise UserError(names, f"lists '{unknown[0]}', which is not the name of a label")
    if not chosen:
        raise UserError(names, "lists no names")
    return {name: samples[name] for name in chosen.values()}


def match_segments(folder: Path, labels: Iterable[str]) -> tuple[Mapping[str, Sample | Path], list[str]]:
    """(segments, missing). segments: label → its segments, for `read_segments`. missing: the labels without segments.

    folder: a dataset of `seediff segment`, whose objects, perhaps corrected, are the segments; or PNG label maps, whose
    ids are the segments. labels: the names of all labels. Raises UserError.
    """
    # Datasets of other commands have classes, not segments, as objects: their label maps are compared.
    if not (folder / native.METADATA).is_file() or SEGMENT not in native.read_classes(folder):
        folder = map_folder(folder)
        found: Mapping[str, Sample | Path] = dict(named_images(folder))
        if not found:
            raise UserError(folder, "has no PNG files; predictions are label maps, or what `seediff segment` writes")
    else:
        found = {sample.name: sample for sample in Dataset.open(folder, "native")}
    matched, missing = match_names(labels, found, folder)
    return {label: found[name] for label, name in matched.items()}, missing


def read_segments(segments: Sample | Path) -> np.ndarray:
    """(H, W) int32: the number of each pixel's segment, from 0 on; −1: no segment. segments: from `match_segments`.
    Raises UserError."""
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
    sample: Sample, lowest_id: int, segments: Sample | Path, size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """(prediction, label) of a sample, both (H, W) int32, for `contingency`. lowest_id: the id that becomes 0 in the
    label; ignored pixels become −1. segments: from `match_segments`. size: the side of the centred square to evaluate;
    None: the whole image. Raises UserError for a prediction of another size."""
    stored = sample.raw_labels()
    whole = np.where(stored == IGNORE, -1, stored.astype(np.int32) - lowest_id)

    def cut(array: np.ndarray) -> np.ndarray:
        return resize_nearest(centre_square(array), size, size) if size else array

    label, prediction = cut(whole), read_segments(segments)
    if prediction.shape == whole.shape:
        return cut(prediction), label
    if prediction.shape == label.shape:
        return prediction, label
    problem = f"is {size_of(prediction)} pixels, but its label '{sample.name}' {size_of(whole)}"
    if size:
        problem += f", cut to {size_of(label)}"
    raise UserError(_name_of(segments), problem, "resize it to that size, by the nearest pixel; ids must stay")


def notes(scores: SegmentScores) -> list[str]:
    """Sentences about the scores, for readers."""
    lines = [scores.labels, *without_interval(scores)]
    if scores.size:
        lines.append(f"Labels: centre square, {scores.size} × {scores.size} pixels.")
    if scores.unpredicted >= 0.0005:
        note = f"{scores.unpredicted:.1%} of the labelled pixels have no segment and count as wrong"
        if not scores.size:
            note += " (--size evaluates the centre square only)"
        lines.append(f"{note}.")
    return lines
