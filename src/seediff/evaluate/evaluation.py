"""`seediff evaluate`: compares a segmenter or a folder of label maps with a labelled data set, and writes the
report.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .. import __version__
from ..config.names import BACKGROUND, read_class_list
from ..dataset.dataset import Dataset
from ..dataset.formats.masks import semantic_yaml
from ..dataset.native import METADATA, encode_image
from ..dataset.native_folder import open_native
from ..dataset.sample import Sample
from ..dataset.split import check_seed
from ..dataset.truths import open_truths
from ..errors import UserError
from ..files.label_maps import IGNORE, map_folder, match_names, pair, read_segment_ids, voc_palette
from ..files.messages import plural
from ..files.output_folders import open_folder
from ..files.outputs import write_atomic
from ..report.pictures import contact_sheet, fit_side, overlay
from .protocols import join_names, protocol_for, read_class_map
from .semantic import Scores, evaluate_pairs, make_table, percent, percents, write_json

if TYPE_CHECKING:
    from rich.table import Table

SCORES, GALLERY, IMAGES = "scores.json", "worst.jpg", "images.csv"
WORST = 12
SIDE = 240  # longer side of a picture in the gallery, in pixels
OWN_IDS = "the data's own ids"
NAMED = 5
"""Maximum number of images that an error names."""


@dataclass(frozen=True)
class Predictor:
    """about: a description in one line. classes: the name of each id in its label maps. predict: samples → label maps
    (H, W) uint8, 255 where there is no prediction; raises UserError. at_once: the number of samples per call."""

    about: str
    classes: Mapping[int, str]
    predict: Callable[[Sequence[Sample]], list[np.ndarray]]
    at_once: int = 1


def _open_dataset(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """A set of `seediff predict`, `mask` or `generate`, with corrected masks in place of the originals. Raises
    UserError if images have no sample of their name."""
    own_classes, own = open_native(path)
    samples = {sample.name: sample for sample in own}
    paired, missing = match_names([sample.name for sample in data], samples, path)
    _check_paired(path, data, missing, "its samples must be named like the images")
    names = dict(enumerate((BACKGROUND, *(own_classes if classes is None else classes))))

    def predict(asked: Sequence[Sample]) -> list[np.ndarray]:
        return [samples[paired[sample.name]].labels(len(own_classes)) for sample in asked]

    return Predictor(f"masks of {path}, {len(names)} classes", names, predict)


def _check_paired(where: Path, data: Dataset, missing: Sequence[str], fix: str) -> None:
    """Raise UserError if images have no prediction. missing: their names."""
    if missing:
        problem = f"has no prediction for {len(missing)} of {len(data)} images: {join_names(missing, NAMED)}"
        raise UserError(where, problem, fix)


def _open_folder(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """A folder of label maps. Raises UserError if images have none, or if only a YAML file names their classes."""
    folder = map_folder(path)
    paired, missing = pair([sample.name for sample in data], path)
    _check_paired(folder, data, missing, "label maps are PNG files named like the images")
    listing = next((file for file in (folder / "classes.txt", folder.parent / "classes.txt") if file.is_file()), None)
    described = semantic_yaml(path)
    if classes is not None:
        names, source = dict(enumerate((BACKGROUND, *classes))), "the given classes"
    elif listing:
        names, source = read_class_list(listing, first=0), str(listing)
        names.pop(IGNORE, None)
    elif described is not None:
        fix = "name the ids from 1 up with --classes, or make it a dataset with `seediff import`"
        raise UserError(described, "names the classes of these label maps, but only classes.txt is read here", fix)
    else:
        names, source = {value: data.names[id_] for value, id_ in data.ids.items() if id_ != IGNORE}, OWN_IDS
    if (last := max(names, default=0)) >= IGNORE:
        where = source if classes is None else "classes"
        raise UserError(where, f"names id {last}", f"label maps of 8 bits hold ids 0 to {IGNORE - 1}")
    void = [value for value, id_ in data.ids.items() if id_ == IGNORE and source == OWN_IDS]
    known = {*names, *void, IGNORE, -1}
    table = np.arange(256, dtype=np.uint8)
    table[void] = IGNORE

    def read(sample: Sample) -> np.ndarray:
        stored = read_segment_ids(paired[sample.name])
        there = np.flatnonzero(np.bincount(stored.ravel() + 1)) - 1
        if unknown := [str(number) for number in there.tolist() if number not in known]:
            problem = f"has ids {join_names(unknown, NAMED)}, which are not classes"
            raise UserError(paired[sample.name], problem, f"ids are those of {source}, and 255")
        return table[stored.astype(np.uint8)]  # −1 is 255

    about = f"label maps in {folder}, {len(names)} classes ({source})"
    return Predictor(about, names, lambda samples: [read(sample) for sample in samples])


def check_pictures(data: Dataset) -> None:
    """Raise UserError unless every truth can be read and has a picture of its size. This takes milliseconds per image
    and avoids a late failure of the slow segmenting."""
    without = [sample.name for sample in data if sample.source is None]
    if without:
        few = f"{len(without)} of {len(data)}"
        raise UserError(f"{data.about}: {few} labels have no picture: {join_names(without, NAMED)}")
    for sample in data:
        if (truth := sample.unchecked_labels().shape) != (picture := sample.size()):
            raise UserError(f"'{sample.name}': its truth is {truth}, but its picture {picture}; both (height, width)")


def _open_segmenter(path: Path, scales: tuple[float, ...], flip: bool, device: str | None) -> Predictor:
    """The segmenter in a folder. Raises UserError."""
    from ..train.predict import load_segmenter

    segmenter = load_segmenter(path, device)
    about = f"segmenter {path}, {len(segmenter.classes)} classes"
    about += f", scales {', '.join(f'{s:g}' for s in scales)}" if scales != (1.0,) else ""
    about += ", mirrored too" if flip else ""

    def predict(samples: Sequence[Sample]) -> list[np.ndarray]:
        return segmenter.label_maps([sample.image for sample in samples], scales=scales, flip=flip)

    return Predictor(about, dict(enumerate((BACKGROUND, *segmenter.classes))), predict, at_once=8)


@dataclass(frozen=True)
class Evaluation:
    """The compared data and the scores. The tables, (256,) uint8, map ids of data and predictor to the protocol's."""

    scores: Scores
    data: Dataset
    predictor: Predictor
    truth_table: np.ndarray
    predicted_table: np.ndarray

    @property
    def absent(self) -> list[str]:
        """The protocol's classes that the data does not have."""
        held = set(self.truth_table[list(self.data.names)])
        return [name for i, name in enumerate(self.scores.protocol.classes) if i not in held]

    @property
    def never(self) -> list[str]:
        """The protocol's classes that the data has but the predictor does not."""
        said = set(self.predicted_table[list(self.predictor.classes)])
        classes = enumerate(self.scores.protocol.classes)
        return [name for i, name in classes if i not in said and name not in self.absent]

    def to_json(self) -> dict[str, Any]:
        """`Scores.table`, and descriptions of the compared data."""
        about = {
            "predictions": self.predictor.about,
            "data": self.data.about,
            "not_in_the_data": self.absent,
            "never_predicted": self.never,
            "version": __version__,
        }
        return {**self.scores.table(), **about}


def evaluate(
    predictions: Path | str,
    data: Dataset | Path | str,
    *,
    protocol: str = "own",
    split: str | None = None,
    class_map: Path | None = None,
    classes: Sequence[str] | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    boundary: bool = True,
    device: str | None = None,
    seed: int = 0,
    draws: int = 1000,
    progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Evaluate a folder of `seediff train`, or of label maps, on a labelled folder.

    data: a folder, read by `open_truths` with `split`, or the result of that function. protocol: see
    `protocol_for`. class_map: see `read_class_map`. classes: names for the label maps' ids, from id 1; by default those
    in classes.txt in or beside their folder, or else the data's own ids. scales, flip: a segmenter's test-time
    augmentation. boundary, seed, draws: see `evaluate_pairs`. Raises UserError, for names before the first image is
    read.
    """
    check_seed(seed)
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
    mapped = read_class_map(class_map) if class_map else None
    labelled = data if isinstance(data, Dataset) else open_truths(data, split)
    chosen = protocol_for(protocol, labelled.names.values())
    path, scales = Path(predictions), tuple(scales)
    trained = any((path / name).is_file() for name in ("config.json", "checkpoint.safetensors"))  # finished or not
    if trained and classes is not None:
        raise UserError("classes", "a segmenter knows its own", "leave it out; it is for folders of label maps")
    if not trained and (scales != (1.0,) or flip):
        raise UserError("scales and flip", f"need a segmenter, and {path} has no config.json of one")
    if trained:
        check_pictures(labelled)
        predictor = _open_segmenter(path, scales, flip, device)
    elif (path / METADATA).is_file():
        predictor = _open_dataset(path, labelled, classes)
    else:
        predictor = _open_folder(path, labelled, classes)
    truth_table = chosen.truth_table(labelled.names, labelled.about)
    predicted_table = chosen.predicted_table(predictor.classes, mapped, str(predictions))
    total = len(labelled)

    def pairs() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        for first in range(0, total, predictor.at_once):
            samples = labelled.samples[first : first + predictor.at_once]
            for sample, predicted in zip(samples, predictor.predict(samples), strict=True):
                yield sample.name, predicted_table[predicted], truth_table[sample.unchecked_labels()]

    show = None if progress is None else lambda done, name: progress(done, total, name)
    if progress:
        progress(0, total, "")
    scores = evaluate_pairs(pairs(), chosen, seed=seed, bootstrap=draws, boundary=boundary, progress=show)
    return Evaluation(scores, labelled, predictor, truth_table, predicted_table)


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write images.csv (each image's mean IoU, the worst first), worst.jpg if there are pictures, and scores.json to
    the folder `out`.
    """
    images = evaluation.scores.images
    table, rows = io.StringIO(), [(name, f"{images[name]:.6f}") for name in worst(images, len(images))]
    csv.writer(table, lineterminator="\n").writerows([("name", "miou"), *rows])
    # May take long: before the first file, so that the same command can follow a Ctrl-C.
    drawn = draw_worst(evaluation, WORST)
    picture = encode_image(gallery(drawn), "jpg") if drawn else None
    with open_folder(out):
        write_atomic(out / IMAGES, table.getvalue().encode("utf-8"))
        if picture:
            write_atomic(out / GALLERY, picture)
        write_json(evaluation.to_json(), out / SCORES)


def draw_worst(evaluation: Evaluation, most: int) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Rows for `gallery`: the worst images that have a picture, predicted again."""
    by_name: dict[str, Sample] = {sample.name: sample for sample in evaluation.data}
    rows = []
    for name in worst(evaluation.scores.images, most):
        sample = by_name[name]
        if sample.source is None:
            continue
        (predicted,) = evaluation.predictor.predict([sample])
        truth, predicted = evaluation.truth_table[sample.unchecked_labels()], evaluation.predicted_table[predicted]
        picture = sample.image
        if picture.shape[:2] == truth.shape:
            rows.append((f"{name}: {evaluation.scores.images[name]:.1%}", picture, truth, predicted))
    return rows


def worst(images: Mapping[str, float], most: int) -> list[str]:
    """The names of the images with the lowest mean IoU, the worst first, without images that have none."""
    ranked = sorted((iou, name) for name, iou in images.items() if not np.isnan(iou))
    return [name for _, name in ranked[:most]]


def gallery(rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """A picture (H, W, 3) uint8 with one row per image: the image, its truth, its prediction.

    rows: title, image (H, W, 3) uint8, truth and prediction (H, W) uint8 in one protocol's ids.
    """
    tiles: list[np.ndarray] = []
    labels: list[str] = []
    for title, image, truth, predicted in rows:
        small = fit_side(image, SIDE, Image.Resampling.BILINEAR)
        tiles.append(small)
        for label_map in (truth, predicted):
            tiles.append(overlay(small, fit_side(label_map, SIDE, Image.Resampling.NEAREST), voc_palette(), alpha=0.6))
        labels += [title, "truth", "prediction"]
    return contact_sheet(tiles, 3, labels)


def score_table(scores: Scores) -> Table:
    """A table for the terminal: the classes that are in the truth or predicted, the groups, the mean and the
    accuracy.
    """
    from rich.text import Text

    title = f"protocol {scores.protocol.name}, {plural(len(scores.images), 'image')}"
    table = make_table(title, "", "IoU", "95 % CI", "boundary IoU", "pixels")
    for name, score in scores.classes.items():
        if not math.isnan(score.iou):
            aside = "" if name in scores.protocol.counted else " (not in the mean)"
            share = f"{score.pixels / scores.pixels:.1%}"
            table.add_row(
                Text(name + aside), percent(score.iou), percents(score.iou_ci95), percent(score.boundary_iou), share
            )
    table.add_section()
    for name, (mean, bounds) in scores.groups.items():
        table.add_row(name, percent(mean), percents(bounds), "", "")
    table.add_row("mIoU", percent(scores.miou), percents(scores.interval), percent(scores.boundary_miou), "")
    right = percent(scores.pixel_accuracy), percents(scores.pixel_accuracy_ci95)
    table.add_row("pixel accuracy", *right, "", f"{scores.pixels:,}")
    return table


def notes(evaluation: Evaluation) -> list[str]:
    """Notes about the scores for readers, one per line."""
    lines = [f"{evaluation.data.about}.", *evaluation.data.notes, f"{evaluation.predictor.about}."]
    if absent := evaluation.absent:
        lines.append(f"Classes of the protocol that the data does not have: {join_names(absent)}.")
    if never := evaluation.never:
        lines.append(f"Classes that are never predicted, because there is no such class: {join_names(never)}.")
    named = {i: name for i, name in evaluation.predictor.classes.items() if evaluation.predicted_table[i] == IGNORE}
    if named:
        lines.append(f"Predicted classes that the protocol does not have or ignores are wrong: {join_names(named)}.")
    return lines
