"""What `seediff evaluate` compares with a labelled data set: a segmenter, a dataset, or a folder of label maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config.class_names import BACKGROUND, read_class_list
from ..config.sides import side_notes
from ..dataset.class_lists import NAME_LISTS, ClassList, Note, find_list, named_classes
from ..dataset.dataset import Dataset
from ..dataset.formats.masks import semantic_yaml
from ..dataset.native import METADATA, open_native
from ..dataset.sample import Sample
from ..dataset.split import pixel_digest
from ..dataset.stored_masks import read_mask, with_single
from ..errors import UserError
from ..files.label_maps import map_folder, match_names, pair
from .protocols import join_names

OWN_IDS = "the data's own ids"
TOGETHER = 8
"""Number of images that a segmenter sees at a time."""


@dataclass(frozen=True)
class Predictor:
    """A source of predicted label maps: a segmenter, a dataset, or a folder of label maps."""

    name: str
    """The predictor's folder."""
    about: str
    """A description in one line."""
    classes: Mapping[int, str]
    """Id in the predicted label maps → class."""
    predict: Callable[[Sequence[Sample]], Iterable[np.ndarray]]
    """Samples → a label map (H, W) uint8 of each, made when its turn comes; 255 without a prediction. Raises
    UserError."""
    saw: Callable[[Sample], bool] = lambda sample: False
    """Whether the predictor was trained on a sample's picture, as far as is known."""


def _open_dataset(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """A dataset of `seediff predict`, `mask` or `generate`, with corrected masks instead of the originals. Raises
    UserError if images have no labelled sample of their name."""
    own_classes, own = open_native(path)
    samples = {sample.name: sample for sample in own if not sample.row.why_left_out(with_rejected=True)}
    paired, missing = match_names([sample.name for sample in data], samples, path)
    _check_paired(path, data, missing, "its samples must be named like the images, and labelled")
    others = [sample.name for sample in data if not _same_picture(sample, samples[paired[sample.name]])]
    if others:
        problem = f"{len(others)} of {len(data)} pictures differ from those of the same names in {data.path}"
        fix = f"compare sets of the same pictures, or, of pictures that were saved anew, give {map_folder(path)}"
        raise UserError(path, f"{problem}: {join_names(others)}", fix)
    if classes is None:
        classes = own_classes
    names = dict(enumerate((BACKGROUND, *classes)))

    def predict(images: Sequence[Sample]) -> Iterator[np.ndarray]:
        return (samples[paired[image.name]].labels(len(own_classes)) for image in images)

    return Predictor(str(path), f"masks of {path}, {len(names)} classes", names, predict)


def _same_picture(one: Sample, other: Sample) -> bool:
    """Whether two pictures have the same pixels; also True if the first sample has no picture."""
    if one.source is None:
        return True
    return one.size() == other.size() and pixel_digest(one.image) == pixel_digest(other.image)


def _check_paired(where: Path, data: Dataset, missing: Sequence[str], fix: str) -> None:
    """Raise UserError if images have no prediction. missing: the names of these images."""
    if missing:
        problem = f"has no prediction for {len(missing)} of {len(data)} images: {join_names(missing)}"
        raise UserError(where, problem, fix)


def _open_folder(path: Path, data: Dataset, classes: Sequence[str] | None) -> Predictor:
    """A folder of label maps. Raises UserError if an image has no label map, or if only a YAML file names the
    classes."""
    folder = map_folder(path)
    paired, missing = pair([sample.name for sample in data], path)
    _check_paired(folder, data, missing, "label maps are PNG files named like the images")
    notes = list[str]()
    class_list, names, source = _classes_of(path, data, classes, notes.append)
    class_list = with_single(class_list, paired.values(), notes.append)
    about = "; ".join([f"label maps in {folder}, {len(names)} classes ({source})", *notes])
    return Predictor(
        str(path), about, names, lambda images: (read_mask(paired[image.name], class_list) for image in images)
    )


def _classes_of(
    path: Path, data: Dataset, given: Sequence[str] | None, note: Note
) -> tuple[ClassList, Mapping[int, str], str]:
    """(class list, id → class, where the list comes from) of the label maps in a folder: the given classes, or else
    those of a list in or beside the folder, or else the data's own ids. Raises UserError if only a YAML file names the
    classes."""
    folder = map_folder(path)
    class_list = named_classes(given) if given is not None else find_list(folder, folder.parent, note=note)
    if class_list is None:
        described = semantic_yaml(path)
        if described is not None:
            problem = (
                "names the classes of these label maps, but only lists of classes such as classes.txt are read here"
            )
            fix = "name the ids from 1 up with --classes, or make it a dataset with `seediff import`"
            raise UserError(described, problem, fix)
        return ClassList(data.classes, data.ids, where=OWN_IDS), data.names, OWN_IDS

    names, source = dict(enumerate((BACKGROUND, *class_list.classes))), "the given classes"
    if given is None:
        source = str(class_list.where)
        counts_from_1 = Path(source).name in NAME_LISTS and not read_class_list(Path(source)).get(0)
        if counts_from_1 and BACKGROUND not in data.names.values():
            # Nothing in the data is background, so a stored 0 can only be a class, of lines that count from 0.
            ids = {number: id_ for number, id_ in class_list.ids.items() if number}
            rule = "its lines are ids from 1 on, unless each begins with its id"
            where = f"{source}: {rule}, and {data.about} has no background"
            class_list = replace(class_list, ids=ids, where=where)
    return class_list, names, source


def check_images(data: Dataset) -> None:
    """Raise UserError unless every truth can be read and has a picture of its size. This takes milliseconds per image,
    and a fault is found before the slow segmenting."""
    without = [sample.name for sample in data if sample.source is None]
    if without:
        few = f"{len(without)} of {len(data)} labels have no picture"
        raise UserError(data.about, f"{few}: {join_names(without)}")
    for sample in data:
        truth, image = sample.unchecked_labels().shape, sample.size()
        if truth != image:
            problem = f"its truth is {truth}, but its picture {image}; both (height, width)"
            raise UserError(f"'{sample.name}'", problem)


def _open_segmenter(path: Path, scales: tuple[float, ...], flip: bool, device: str | None) -> Predictor:
    """The segmenter in a folder. Raises UserError."""
    from ..train.predict import load_segmenter  # imports torch
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

    def predict(samples: Sequence[Sample]) -> Iterator[np.ndarray]:
        for first in range(0, len(samples), TOGETHER):
            images = [sample.image for sample in samples[first : first + TOGETHER]]
            yield from segmenter.label_maps(images, scales=scales, flip=flip)

    def saw(sample: Sample) -> bool:
        return bool(trained_on) and image_digest(sample) in trained_on

    return Predictor(str(path), about, names, predict, saw)


def open_predictor(
    path: Path,
    data: Dataset,
    classes: Sequence[str] | None,
    scales: tuple[float, ...],
    flip: bool,
    device: str | None,
) -> Predictor:
    """What predicts: a segmenter, a dataset or a folder of label maps. Raises UserError."""
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
