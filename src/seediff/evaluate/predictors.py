"""Opens what `seediff evaluate` compares with labels, as a `Predictor`: a segmenter, or any set, also of label maps
alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import BACKGROUND
from ..config.sets import Comparison
from ..dataset.class_lists import ClassList, check_agree
from ..dataset.copies import pixel_digest
from ..dataset.dataset import Dataset
from ..dataset.formats.format_table import ImportOptions, options_of
from ..dataset.formats.refusal import format_of
from ..dataset.native import MASKS
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.messages import first_of, plural
from ..files.names import match_names
from ..rows.values import UNLABELLED
from ..train.record import CHECKPOINT, is_training, read_trained_on
from ..train.stages import image_digest

OWN_IDS = "the data's own ids"
TOGETHER = 8
"""The number of images that a segmenter sees at a time."""


@dataclass(frozen=True)
class Predictor:
    """Gives predicted label maps for labelled samples."""

    name: str
    """The path of its folder."""
    about: str
    """A description in one line."""
    classes: Mapping[int, str]
    """Id in its label maps → class."""
    predict: Callable[[Sequence[Sample]], Iterable[np.ndarray]]
    """Takes samples, and yields a label map (H, W) uint8 of each, one after the other. 255: no prediction. Raises
    UserError."""
    saw: Callable[[Sample], bool] = lambda sample: False
    """Takes a sample, and returns whether the predictor was trained on its picture; False if nobody knows."""


def open_predictor(path: Path, data: Dataset, how: Comparison) -> Predictor:
    """The predictor in a folder. path: a segmenter of `seediff train`, or a set. data: the labelled samples; each must
    have a prediction. Raises UserError."""
    if is_training(path):
        if how.classes is not None:
            raise UserError("classes", "a segmenter knows its own", "leave it out; it is for folders of label maps")
        check_images(data)
        return _open_segmenter(path, tuple(how.scales), how.flip, how.device)
    if tuple(how.scales) != (1.0,) or how.flip:
        raise UserError("scales and flip", f"need a segmenter, and {path} has no config.json of one")
    return _open_set(path, data, how.classes, how.corrected)


def check_images(data: Dataset) -> None:
    """Raise UserError unless every truth can be read and has a picture of its size. Takes milliseconds per image, so
    that faults are found before the slow segmenting."""
    without = [sample.name for sample in data if sample.source is None]
    if without:
        few = f"{len(without)} of {len(data)} labels have no image"
        raise UserError(data.about, f"{few}: {first_of(without, in_all=True)}")
    for sample in data:
        truth, image = sample.raw_labels().shape, sample.size()
        if truth != image:
            problem = f"its truth is {truth}, but its image {image}; both (height, width)"
            raise UserError(f"'{sample.name}'", problem)


def _open_segmenter(path: Path, scales: tuple[float, ...], flip: bool, device: str | None) -> Predictor:
    """The segmenter in a folder. scales, flip: how it sees each image. device: None: the fastest. Raises UserError."""
    from ..train.predict import load_segmenter  # imports torch

    segmenter = load_segmenter(path, device)
    trained_on = read_trained_on(path)
    names = dict(enumerate((BACKGROUND, *segmenter.classes)))
    about = f"the segmenter in {path}, {plural(len(segmenter.classes), 'class')}"
    if (path / CHECKPOINT).is_file():
        about += ", the best until now of a training that is not finished"
    if scales != (1.0,):
        about += f", scales {', '.join(f'{scale:g}' for scale in scales)}"
    if flip:
        about += ", mirrored too"

    def predict(samples: Sequence[Sample]) -> Iterator[np.ndarray]:
        for first in range(0, len(samples), TOGETHER):
            images = [sample.image for sample in samples[first : first + TOGETHER]]
            yield from segmenter.label_maps(images, scales=scales, flip=flip)

    def saw(sample: Sample) -> bool:
        return bool(trained_on) and image_digest(sample.image_file) in trained_on

    return Predictor(str(path), about, names, predict, saw)


def _open_set(path: Path, data: Dataset, classes: Sequence[str] | None, corrected: bool) -> Predictor:
    """The masks of a set, as they were made, or with `corrected` as people corrected them. Raises UserError if an image
    has no labelled sample of the same name, or another picture."""
    # 1. The set. Without names of its own, its ids mean the data's classes
    kind = format_of(path, labels_alone=True)
    options = dict[str, Any]()
    if kind != "native" and "classes" in options_of(ImportOptions, kind):
        options["classes"] = classes
    truth = ClassList(data.classes, data.ids, where=OWN_IDS)
    dataset = Dataset.open(path, kind, labels_alone=True, truth=truth, **options)
    names = dataset.names
    if classes is not None and not options:
        check_agree([("classes", dict(enumerate(classes, 1))), (path, dict(enumerate(dataset.classes, 1)))])
        names = dict(enumerate((BACKGROUND, *classes)))

    # 2. Its sample for each labelled image, with the same picture
    samples = {sample.name: sample for sample in dataset}
    notes = [*dataset.notes]
    if kind == "native" and not corrected:
        originals = _as_made(path, dataset)
        samples |= originals
        if originals:
            notes.append(f"as they were made, without {plural(len(originals), 'correction')}: --corrected takes these")
    paired, missing = match_names([sample.name for sample in data], samples, path)
    if missing:
        problem = f"has no prediction for {len(missing)} of {len(data)} images: {first_of(missing, in_all=True)}"
        raise UserError(path, problem, "its samples or label maps (PNG) must be named like the images, and labelled")
    others = [sample.name for sample in data if not _same_picture(sample, samples[paired[sample.name]])]
    if others:
        problem = f"{len(others)} of {len(data)} images differ from those of the same names in {data.path}"
        fix = "compare sets of the same images"
        if kind == "native":
            fix += f", or, of images that were saved anew, give {path / MASKS}"
        raise UserError(path, f"{problem}: {first_of(others, in_all=True)}", fix)

    def predict(images: Sequence[Sample]) -> Iterator[np.ndarray]:
        return (samples[paired[image.name]].raw_labels() for image in images)

    def saw(image: Sample) -> bool:
        return bool(samples[paired[image.name]].row.trained_on)

    listed = dataset.reading.listed
    about = f"{dataset.title}, {plural(len(dataset.classes), 'class')} ({listed})"
    return Predictor(str(path), "; ".join([about, *notes]), names, predict, saw)


def _as_made(path: Path, dataset: Dataset) -> dict[str, Sample]:
    """Name → sample with the mask as it was made, for the samples of a native set with another mask. What nobody had
    labelled has only the mask that people painted, and is left out. path, dataset: the set, as people corrected it."""
    others = {sample.name for sample in dataset if sample.row.review_or_empty.replaced}
    made = dict[str, Sample]()
    for sample in Dataset.open(path, "native", as_made=True) if others else ():
        row = sample.row
        if sample.name in others and not row.review_or_empty.replaced and UNLABELLED not in row.flag_list:
            made[sample.name] = sample.read_by(partial(sample.labels, len(dataset.classes)))
    return made


def _same_picture(one: Sample, other: Sample) -> bool:
    """Whether the pictures of two samples have the same pixels; True if one of them has no picture."""
    if one.source is None or other.source is None:
        return True
    return one.size() == other.size() and pixel_digest(one.image) == pixel_digest(other.image)
