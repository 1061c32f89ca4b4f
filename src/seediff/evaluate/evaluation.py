"""`seediff evaluate`: compares a segmenter or a folder of label maps with a labelled data set, and writes the
report.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .. import __version__
from ..config.names import BACKGROUND, read_class_list
from ..config.sides import side_notes
from ..dataset.class_lists import NAME_LISTS, ClassList, find_list, named_classes, read_mask, with_single
from ..dataset.dataset import Dataset
from ..dataset.formats.masks import semantic_yaml
from ..dataset.native import METADATA, encode_image, open_native
from ..dataset.sample import Sample
from ..dataset.split import pixel_digest
from ..dataset.truths import open_truths
from ..drawing.charts import Bar, bar_chart, can_draw
from ..drawing.overlays import contact_sheet, draw_named, fit_side
from ..errors import UserError
from ..files.label_maps import IGNORE, map_folder, match_names, pair
from ..files.messages import plural
from ..files.output_folders import open_folder
from ..files.outputs import write_atomic
from ..files.photo_files import read_photo
from ..metrics.confusion import tally
from ..workers import Progress
from .protocols import join_names, protocol_for, read_class_map
from .semantic import Scores, check_bootstrap, evaluate_pairs, make_table, percent, percents, write_json

if TYPE_CHECKING:
    from rich.table import Table

SCORES, IMAGES, GALLERY, BARS = "scores.json", "images.csv", "images.jpg", "classes.png"
ROWS = 8
"""The most rows of the gallery: a bad image and a good one each."""
SIDE = 240  # longer side of a picture in the gallery, in pixels
OWN_IDS = "the data's own ids"


@dataclass(frozen=True)
class Predictor:
    """about: a description in one line. classes: the name of each id in its label maps. predict: samples → label maps
    (H, W) uint8, 255 where there is no prediction; raises UserError. at_once: the number of samples per call. saw:
    whether it was trained on a sample's picture, as far as is known."""

    about: str
    classes: Mapping[int, str]
    predict: Callable[[Sequence[Sample]], list[np.ndarray]]
    at_once: int = 1
    saw: Callable[[Sample], bool] = lambda sample: False


def _open_dataset(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """A set of `seediff predict`, `mask` or `generate`, with corrected masks in place of the originals. Raises
    UserError if images have no labelled sample of their name."""
    own_classes, own = open_native(path)
    samples = {sample.name: sample for sample in own if not sample.row.why_left_out(with_rejected=True)}
    paired, missing = match_names([sample.name for sample in data], samples, path)
    _check_paired(path, data, missing, "its samples must be named like the images, and labelled")
    others = [sample.name for sample in data if not _same_picture(sample, samples[paired[sample.name]])]
    if others:
        problem = f"{len(others)} of {len(data)} pictures differ from those of the same names in {data.path}"
        raise UserError(path, f"{problem}: {join_names(others)}", "compare sets of the same pictures")
    if classes is None:
        classes = own_classes
    names = dict(enumerate((BACKGROUND, *classes)))

    def predict(asked: Sequence[Sample]) -> list[np.ndarray]:
        return [samples[paired[sample.name]].labels(len(own_classes)) for sample in asked]

    return Predictor(f"masks of {path}, {len(names)} classes", names, predict)


def _same_picture(one: Sample, other: Sample) -> bool:
    """Whether two pictures have the same pixels, as they are stored or as `read_photo` shows them; also True if the
    first is not there."""
    if one.source is None or (one.size() == other.size() and pixel_digest(one.image) == pixel_digest(other.image)):
        return True
    with suppress(UserError):
        if isinstance(one.source, Path) and isinstance(other.source, Path):
            return np.array_equal(read_photo(one.source), read_photo(other.source))
    return False


def _check_paired(where: Path, data: Dataset, missing: Sequence[str], fix: str) -> None:
    """Raise UserError if images have no prediction. missing: their names."""
    if missing:
        problem = f"has no prediction for {len(missing)} of {len(data)} images: {join_names(missing)}"
        raise UserError(where, problem, fix)


def _open_folder(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """A folder of label maps. Raises UserError if images have none, or if only a YAML file names their classes."""
    folder = map_folder(path)
    paired, missing = pair([sample.name for sample in data], path)
    _check_paired(folder, data, missing, "label maps are PNG files named like the images")
    described, notes = semantic_yaml(path), list[str]()

    # The classes: as they are given, as a list in or beside the folder has them, or the data's.
    listed, source = ClassList(data.classes, data.ids, where=OWN_IDS), OWN_IDS
    found = find_list(folder, folder.parent, note=notes.append) if classes is None else named_classes(classes)
    if found is not None:
        listed, source = found, "the given classes" if classes is not None else str(found.where)
    elif described is not None:
        fix = "name the ids from 1 up with --classes, or make it a dataset with `seediff import`"
        raise UserError(described, "names the classes of these label maps, but only classes.txt is read here", fix)
    names = data.names if found is None else dict(enumerate((BACKGROUND, *listed.classes)))
    if (
        BACKGROUND not in data.names.values()
        and Path(source).name in NAME_LISTS
        and not read_class_list(Path(source)).get(0)
    ):
        # Nothing in the data could be its id 0, which would be a class if lines counted from 0.
        where = (
            f"{source}: its lines are ids from 1 on, unless each begins with its id, and {data.about} has no background"
        )
        listed = replace(listed, ids={number: id_ for number, id_ in listed.ids.items() if number}, where=where)
    listed = with_single(listed, paired.values(), notes.append)
    about = "; ".join([f"label maps in {folder}, {len(names)} classes ({source})", *notes])
    return Predictor(about, names, lambda samples: [read_mask(paired[sample.name], listed) for sample in samples])


def check_images(data: Dataset) -> None:
    """Raise UserError unless every truth can be read and has a picture of its size. This takes milliseconds per image
    and avoids a late failure of the slow segmenting."""
    without = [sample.name for sample in data if sample.source is None]
    if without:
        few = f"{len(without)} of {len(data)} labels have no picture"
        raise UserError(data.about, f"{few}: {join_names(without)}")
    for sample in data:
        truth, image = sample.unchecked_labels().shape, sample.size()
        if truth != image:
            raise UserError(f"'{sample.name}': its truth is {truth}, but its picture {image}; both (height, width)")


def _open_segmenter(path: Path, scales: tuple[float, ...], flip: bool, device: str | None) -> Predictor:
    """The segmenter in a folder. Raises UserError."""
    from ..train.predict import load_segmenter
    from ..train.record import CHECKPOINT, read_trained_on
    from ..train.stages import image_digest

    segmenter, trained_on = load_segmenter(path, device), read_trained_on(path)
    names = dict(enumerate((BACKGROUND, *segmenter.classes)))
    about = f"segmenter {path}, {len(names)} classes"
    if (path / CHECKPOINT).is_file():
        about += ", the best until now of a training that is not finished"
    if scales != (1.0,):
        about += f", scales {', '.join(f'{scale:g}' for scale in scales)}"
    if flip:
        about = "; ".join([f"{about}, mirrored too", *side_notes(segmenter.classes)])

    def predict(samples: Sequence[Sample]) -> list[np.ndarray]:
        return segmenter.label_maps([sample.image for sample in samples], scales=scales, flip=flip)

    def saw(sample: Sample) -> bool:
        return bool(trained_on) and image_digest(sample) in trained_on

    return Predictor(about, names, predict, at_once=8, saw=saw)


@dataclass(frozen=True)
class Evaluation:
    """The compared data and the scores. The tables, (256,) uint8, map ids of data and predictor to the protocol's.
    trained_on: how many of the images the predictor was trained on, as far as is known."""

    scores: Scores
    data: Dataset
    predictor: Predictor
    truth_table: np.ndarray
    predicted_table: np.ndarray
    trained_on: int

    @property
    def absent(self) -> list[str]:
        """The protocol's classes that the data does not have."""
        held = set(self.truth_table[list(self.data.names)])
        return [name for i, name in enumerate(self.scores.protocol.classes) if i not in held]

    @property
    def never(self) -> list[str]:
        """The protocol's classes that the data has but the predictor does not."""
        predicted = set(self.predicted_table[list(self.predictor.classes)])
        classes = enumerate(self.scores.protocol.classes)
        return [name for i, name in classes if i not in predicted and name not in self.absent]

    def to_json(self) -> dict[str, Any]:
        """`Scores.table`, and descriptions of the compared data."""
        about = {
            "predictions": self.predictor.about,
            "data": self.data.about,
            "not_in_the_data": self.absent,
            "never_predicted": self.never,
            "trained_on": self.trained_on,
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
    with_rejected: bool = False,
    progress: Progress = lambda done, total, name: None,
) -> Evaluation:
    """Evaluate a folder of `seediff train`, or of label maps, on a labelled folder.

    data: a folder, read by `open_truths` with `split`, or the result of that function. protocol: see
    `protocol_for`. class_map: see `read_class_map`. classes: names for the label maps' ids, from id 1; by default those
    in classes.txt in or beside their folder, or else the data's own ids. scales, flip: a segmenter's test-time
    augmentation. boundary, seed, draws: see `evaluate_pairs`. with_rejected: compare with samples that people rejected,
    too. Raises UserError, for names before the first image is read.
    """
    check_bootstrap(seed, draws)
    mapped = read_class_map(class_map) if class_map else None
    labelled = (data if isinstance(data, Dataset) else open_truths(data, split)).labelled(with_rejected)
    chosen = protocol_for(protocol, labelled.names.values())
    path, scales = Path(predictions), tuple(scales)
    files = ("config.json", "checkpoint.safetensors", "losses.csv")  # of a training, finished or not
    trained = any((path / name).is_file() for name in files)
    if trained and classes is not None:
        raise UserError("classes", "a segmenter knows its own", "leave it out; it is for folders of label maps")
    if not trained and (scales != (1.0,) or flip):
        raise UserError("scales and flip", f"need a segmenter, and {path} has no config.json of one")
    if trained:
        check_images(labelled)
        predictor = _open_segmenter(path, scales, flip, device)
    elif (path / METADATA).is_file():
        predictor = _open_dataset(path, labelled, classes)
    else:
        predictor = _open_folder(path, labelled, classes)
    truth_table = chosen.truth_table(labelled.names, labelled.about)
    predicted_table = chosen.predicted_table(predictor.classes, mapped, str(predictions))
    total = len(labelled)

    def pairs() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        progress(0, total, "")
        for first in range(0, total, predictor.at_once):
            samples = labelled.samples[first : first + predictor.at_once]
            predictions = zip(samples, predictor.predict(samples), strict=True)
            for done, (sample, predicted) in enumerate(predictions, first + 1):
                yield sample.name, predicted_table[predicted], truth_table[sample.unchecked_labels()]
                progress(done, total, sample.name)  # its scores are counted

    scores = evaluate_pairs(pairs(), chosen, seed=seed, bootstrap=draws, boundary=boundary)
    trained_on = sum(predictor.saw(sample) for sample in labelled)
    return Evaluation(scores, labelled, predictor, truth_table, predicted_table, trained_on)


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write images.csv (each image's mean IoU, the worst first), images.jpg if there are pictures, classes.png and
    scores.json to the folder `out`.
    """
    # Images without a mean IoU are left out.
    scored = {name: iou for name, iou in evaluation.scores.images.items() if not np.isnan(iou)}
    ranked = sorted(scored, key=lambda name: (scored[name], name))
    table, rows = io.StringIO(), [(name, f"{scored[name]:.6f}") for name in ranked]
    csv.writer(table, lineterminator="\n").writerows([("name", "miou"), *rows])
    # May take long: before the first file, so that the same command can follow a Ctrl-C.
    image = draw_gallery(evaluation, ranked)
    with open_folder(out):
        write_atomic(out / IMAGES, table.getvalue().encode("utf-8"))
        if image is not None:
            write_atomic(out / GALLERY, encode_image(image, "jpg"))
        if can_draw(BARS):
            write_atomic(out / BARS, draw_bars(evaluation.scores))
        write_json(evaluation.to_json(), out / SCORES)


def draw_bars(scores: Scores) -> bytes:
    """A PNG of each class's IoU, the highest first, and of the mean."""
    bars: list[Bar] = []
    for name, score in scores.per_class.items():
        if not math.isnan(score.iou):
            bars.append(Bar(name, score.iou, score.iou_ci95, name in scores.protocol.counted))
    bars.sort(key=lambda bar: -bar.share)
    title = "IoU of each class, with 95% intervals"
    if not all(bar.counted for bar in bars):
        title += "; grey: not in the mean"
    return bar_chart(title, bars, scores.miou)


def draw_gallery(evaluation: Evaluation, ranked: Sequence[str]) -> np.ndarray | None:
    """A picture (H, W, 3) uint8: the worst images at the left, the best at the right, each predicted again, with its
    truth and its prediction. ranked: the names of all, the worst first. Images without a picture of the truth's size
    are left out; None if that leaves none."""
    rows = min(ROWS, (len(ranked) + 1) // 2)
    by_name: dict[str, Sample] = {sample.name: sample for sample in evaluation.data}

    def fits(name: str) -> bool:
        sample = by_name[name]
        return sample.source is not None and sample.size() == sample.unchecked_labels().shape

    worst = list(islice(filter(fits, ranked), rows))
    best = list(islice(filter(fits, reversed([name for name in ranked if name not in worst])), rows))
    tiles: list[np.ndarray] = []
    labels: list[str] = []
    for name in filter(None, chain.from_iterable(zip_longest(worst, best))):
        tiles += _draw_maps(evaluation, by_name[name])
        rank = f"rank {len(ranked) - ranked.index(name)} of {len(ranked)}"
        labels += [f"{rank}, {evaluation.scores.images[name]:.1%}: {name}", "truth", "prediction"]
    if not tiles:
        return None
    return contact_sheet(tiles, 6, labels)


def _draw_maps(evaluation: Evaluation, sample: Sample) -> Iterator[np.ndarray]:
    """A sample's image, the same with its truth, and with its prediction."""
    (predicted,) = evaluation.predictor.predict([sample])
    small = fit_side(sample.image, SIDE, Image.Resampling.BILINEAR)
    names = {number: name for number, name in enumerate(evaluation.scores.protocol.classes) if name != BACKGROUND}
    yield small
    for label_map in (evaluation.truth_table[sample.unchecked_labels()], evaluation.predicted_table[predicted]):
        yield draw_named(small, fit_side(label_map, SIDE, Image.Resampling.NEAREST), names)


def score_table(scores: Scores) -> Table:
    """A table for the terminal: the classes that are in the truth or predicted, the groups, the mean and the
    accuracy.
    """
    from rich.text import Text

    title = f"protocol {scores.protocol.name}, {plural(len(scores.images), 'image')}"
    table = make_table(title, "IoU", "95 % CI", "boundary IoU", "pixels")
    for name, score in scores.per_class.items():
        if not math.isnan(score.iou):
            text = Text(name)
            if name not in scores.protocol.counted:
                text.append(" (not in the mean)")
            share = percent(score.pixels / scores.pixels)
            table.add_row(text, percent(score.iou), percents(score.iou_ci95), percent(score.boundary_iou), share)
    table.add_section()
    for name, group in scores.groups.items():
        table.add_row(name, percent(group.miou), percents(group.miou_ci95), "", "")
    table.add_row("mIoU", percent(scores.miou), percents(scores.miou_ci95), percent(scores.boundary_miou), "")
    right = percent(scores.pixel_accuracy), percents(scores.pixel_accuracy_ci95)
    table.add_row("pixel accuracy", *right, "", f"{scores.pixels:,}")
    return table


def notes(evaluation: Evaluation) -> list[str]:
    """Notes about the scores for readers, one per line."""
    lines = [f"Labels: {evaluation.data.about}.", *evaluation.data.notes, f"Predictions: {evaluation.predictor.about}."]
    if evaluation.trained_on:
        images = plural(len(evaluation.scores.images), "image")
        lines.append(f"Trained on {evaluation.trained_on} of the {images}, so these scores are too high.")
    if evaluation.absent:
        lines.append(f"Classes of the protocol that the data does not have: {join_names(evaluation.absent)}.")
    if evaluation.never:
        never = join_names(evaluation.never)
        lines.append(f"Classes that are never predicted, because there is no such class: {never}.")
    named = {i: name for i, name in evaluation.predictor.classes.items() if evaluation.predicted_table[i] == IGNORE}
    if named:
        lines.append(f"Predicted classes that the protocol does not have or ignores are wrong: {join_names(named)}.")
    confusion, classes = evaluation.scores.confusion, evaluation.scores.protocol.classes
    objects = [number for number, name in enumerate(classes) if name != BACKGROUND]
    if not confusion[:, objects].any():
        lines.append("No pixel is predicted to be of a class.")
    if one_lower(confusion):
        lines.append("The ids of the predictions seem to be one too low: every class would score higher with the next.")
    return lines


def one_lower(confusion: np.ndarray) -> bool:
    """Whether two or more true classes would all have a higher IoU, and above a half on average, if all ids of the
    predictions were one higher, and no prediction id 0. confusion: (C, C + 1), as of `Confusion.table`."""
    there = confusion.sum(1) > 0
    own, moved = tally(confusion).iou[there], tally(np.roll(confusion, 1, axis=1)).iou[there]
    return len(own) > 1 and bool((moved > own).all()) and moved.mean() > 0.5
