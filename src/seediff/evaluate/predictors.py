"""Opens what `seediff evaluate` compares with labels, as a `Predictor`: a segmenter, a dataset, or a folder of label
maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config.class_names import BACKGROUND, read_class_list
from ..config.sides import side_notes
from ..dataset.class_lists import NAME_LISTS, ClassList, Note, check_ids, find_list, read_mask, with_single
from ..dataset.dataset import Dataset
from ..dataset.formats.yolo import described
from ..dataset.native import CLASSES, METADATA, open_native
from ..dataset.sample import Sample
from ..dataset.split import pixel_digest
from ..errors import UserError
from ..files.label_maps import map_folder, match_names, pair
from .protocols import join_names

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


def open_predictor(
    path: Path,
    data: Dataset,
    classes: Sequence[str] | None,
    scales: tuple[float, ...],
    flip: bool,
    device: str | None,
) -> Predictor:
    """The predictor in a folder. path: a segmenter of `seediff train`, a dataset, or a folder of label maps. data: the
    labelled samples; each must have a prediction. classes: names for the ids of label maps, from id 1; None: see
    `_classes_of`. scales, flip, device: for a segmenter. Raises UserError."""
    files = ("config.json", "checkpoint.safetensors", "losses.csv")  # of a training, finished or not
    if any((path / name).is_file() for name in files):
        if classes is not None:
            raise UserError("classes", "a segmenter knows its own", "leave it out; it is for folders of label maps")
        check_images(data)
        return _open_segmenter(path, scales, flip, device)
    if scales != (1.0,) or flip:
        raise UserError("scales and flip", f"need a segmenter, and {path} has no config.json of one")
    if (path / METADATA).is_file():
        return _open_dataset(path, data, classes)
    return _open_folder(path, data, classes)


def check_images(data: Dataset) -> None:
    """Raise UserError unless every truth can be read and has a picture of its size. Takes milliseconds per image, so
    that faults are found before the slow segmenting."""
    without = [sample.name for sample in data if sample.source is None]
    if without:
        few = f"{len(without)} of {len(data)} labels have no image"
        raise UserError(data.about, f"{few}: {join_names(without)}")
    for sample in data:
        truth, image = sample.unchecked_labels().shape, sample.size()
        if truth != image:
            problem = f"its truth is {truth}, but its image {image}; both (height, width)"
            raise UserError(f"'{sample.name}'", problem)


def _open_segmenter(path: Path, scales: tuple[float, ...], flip: bool, device: str | None) -> Predictor:
    """The segmenter in a folder. scales, flip: how it sees each image. device: None: the fastest. Raises UserError."""
    from ..train.predict import load_segmenter  # imports torch
    from ..train.record import CHECKPOINT, read_trained_on
    from ..train.stages import image_digest

    segmenter, trained_on = load_segmenter(path, device), read_trained_on(path)
    names = dict(enumerate((BACKGROUND, *segmenter.classes)))
    about = f"the segmenter in {path}, {len(names)} classes"
    if (path / CHECKPOINT).is_file():
        about += ", the best until now of a training that is not finished"
    if scales != (1.0,):
        about += f", scales {', '.join(f'{scale:g}' for scale in scales)}"
    if flip:
        about = "; ".join([f"{about}, mirrored too", *side_notes(segmenter.classes, segmenter.mirror)])

    def predict(samples: Sequence[Sample]) -> Iterator[np.ndarray]:
        for first in range(0, len(samples), TOGETHER):
            images = [sample.image for sample in samples[first : first + TOGETHER]]
            yield from segmenter.label_maps(images, scales=scales, flip=flip)

    def saw(sample: Sample) -> bool:
        return bool(trained_on) and image_digest(sample) in trained_on

    return Predictor(str(path), about, names, predict, saw)


def _open_dataset(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """The masks of a dataset of SeeDiff; corrected masks count instead of the originals. Raises UserError if an image
    has no labelled sample of the same name, or another picture."""
    own_classes, own = open_native(path)
    samples = {sample.name: sample for sample in own if not sample.row.why_left_out(with_rejected=True)}
    paired, missing = match_names([sample.name for sample in data], samples, path)
    _check_paired(path, data, missing, "its samples must be named like the images, and labelled")
    others = [sample.name for sample in data if not _same_picture(sample, samples[paired[sample.name]])]
    if others:
        problem = f"{len(others)} of {len(data)} images differ from those of the same names in {data.path}"
        fix = f"compare sets of the same images, or, of images that were saved anew, give {map_folder(path)}"
        raise UserError(path, f"{problem}: {join_names(others)}", fix)
    if classes is None:
        classes = own_classes
    check_ids(classes, dict(enumerate(own_classes, 1)), path / CLASSES)
    names = dict(enumerate((BACKGROUND, *classes)))

    def predict(images: Sequence[Sample]) -> Iterator[np.ndarray]:
        return (samples[paired[image.name]].labels(len(own_classes)) for image in images)

    return Predictor(str(path), f"masks of {path}, {len(names)} classes", names, predict)


def _same_picture(one: Sample, other: Sample) -> bool:
    """Whether the pictures of two samples have the same pixels; True if the first sample has no picture."""
    if one.source is None:
        return True
    return one.size() == other.size() and pixel_digest(one.image) == pixel_digest(other.image)


def _check_paired(where: Path, data: Dataset, missing: Sequence[str], fix: str) -> None:
    """Raise UserError if images have no prediction. where: the folder of predictions. missing: the names of images
    without one. fix: what would help."""
    if missing:
        problem = f"has no prediction for {len(missing)} of {len(data)} images: {join_names(missing)}"
        raise UserError(where, problem, fix)


def _open_folder(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """The label maps in a folder. Raises UserError if an image has no label map, or as `_classes_of` does."""
    folder = map_folder(path)
    paired, missing = pair([sample.name for sample in data], path)
    _check_paired(folder, data, missing, "label maps are PNG files named like the images")
    notes = list[str]()
    class_list, names, source = _classes_of(path, data, classes, notes.append)
    class_list = with_single(class_list, notes.append)
    about = "; ".join([f"label maps in {folder}, {len(names)} classes ({source})", *notes])
    return Predictor(
        str(path), about, names, lambda images: (read_mask(paired[image.name], class_list) for image in images)
    )


def _classes_of(
    path: Path, data: Dataset, given: Sequence[str] | None, note: Note
) -> tuple[ClassList, Mapping[int, str], str]:
    """(class list, names, source): the classes of the label maps in a folder, for reading them; id → class; and where
    the list comes from, in words. Used is the first of: the given classes, a list such as classes.txt in or beside the
    folder, and the data's own ids. Raises UserError if only a YAML file may name the classes: it would be overlooked.
    """
    folder = map_folder(path)
    class_list = find_list(folder, folder.parent, classes=given, note=note)
    if class_list is None:
        file = next(filter(None, map(described, (path, path.parent, path.parent.parent))), None)
        if file is not None:
            problem = "may name the classes of these label maps, but only lists such as classes.txt are read here"
            fix = "name the ids from 1 up with --classes, or make it a dataset with `seediff import`"
            raise UserError(file, problem, fix)
        return ClassList(data.classes, data.ids, where=OWN_IDS), data.names, OWN_IDS

    names, source = dict(enumerate((BACKGROUND, *class_list.classes))), "the given classes"
    if given is None:
        source = str(class_list.where)
        counts_from_1 = Path(source).name in NAME_LISTS and not read_class_list(Path(source)).get(0)
        if counts_from_1 and BACKGROUND not in data.names.values():
            # Nothing in the data is background, so a 0 in a label map can only be the first class of a list that counts
            # from 0. Without an id for 0, reading such a label map raises an error that says this.
            ids = {number: id_ for number, id_ in class_list.ids.items() if number}
            rule = "its lines are ids from 1 on, unless each begins with its id"
            where = f"{source}: {rule}, and {data.about} has no background"
            class_list = replace(class_list, ids=ids, where=where)
    return class_list, names, source
