"""Labelled images to evaluate on, read from folders as they are distributed: names, pictures, truths, and the meaning
of their ids.

- voc: VOCdevkit/VOC2012: SegmentationClass/, JPEGImages/, ImageSets/Segmentation/<split>.txt; a classes.txt names other
  classes
- cityscapes: gtFine/<split>/<city>/*_gtFine_labelIds.png, leftImg8bit/<split>/<city>/*_leftImg8bit.png
- ade20k: ADEChallengeData2016: annotations/validation/, images/validation/, objectInfo150.txt; id 0 is no label
- camvid: SegNet's: <split>annot/ beside <split>/ (val, test, train); ids 0 to 10, 11 is no label
- folder: PNG label maps in labels/ or masks/ and a classes.txt, pictures in images/
- any other format that `Dataset.open` reads: SeeDiff's own folders, COCO, YOLO, parquet, WebDataset
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..config.names import BACKGROUND
from ..dataset.dataset import Dataset
from ..dataset.labels import UNLABELLED, LabelSet, open_labels, open_published, published_layout
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.label_maps import MAP_FOLDERS
from ..files.messages import plural
from .protocols import CITYSCAPES_IGNORED, Protocol, own


@dataclass(frozen=True)
class EvaluationSet:
    """about: a description in one line. classes: the name of each id in the truths. stored: the name of each id on
    disk, which predictions without names also use. samples: perhaps without a picture. void: further ids on disk that
    mean no label, and in predictions no prediction."""

    layout: str
    about: str
    classes: Mapping[int, str]
    stored: Mapping[int, str]
    samples: tuple[Sample, ...]
    void: frozenset[int] = frozenset()

    def own_protocol(self) -> Protocol:
        """The protocol with the set's own classes; for Cityscapes the 19 that it evaluates."""
        left_out = CITYSCAPES_IGNORED if self.layout == "cityscapes" else ()
        return own([name for name in self.classes.values() if name not in left_out])


def open_evaluation(path: Path | str, *, split: str | None = None) -> EvaluationSet:
    """Detect a folder's layout and list its labelled images. split: by default `val` for public data sets (`test` for
    CamVid, which papers report), and everything for other folders. Raises UserError."""
    path = Path(path)
    if not path.exists():
        raise UserError(path, "no such folder")
    labelled = _open(path, split)
    if not labelled.samples:
        part = f"split '{split}'" if split else "the folder"
        raise UserError(path, f"{part} holds no labelled images ({labelled.about})")
    return labelled


def _open(path: Path, split: str | None) -> EvaluationSet:
    if layout := published_layout(path):
        return _labelled(open_published(path, layout, split))
    if any((path / below / "SegmentationClass").is_dir() for below in ("", "VOC2012", "VOCdevkit/VOC2012")):
        return _labelled(open_labels(path, "voc", split=split or "val"))
    described = any((path / name).is_file() for name in ("metadata.jsonl", "data.yaml"))
    if described or not any((path / name).is_dir() for name in MAP_FOLDERS):
        return _dataset(path, split)
    if split is not None:
        raise UserError("split", f"{split} {path} is a plain folder of label maps, which has no parts")
    return _labelled(open_labels(path, "folder"))


def _labelled(labels: LabelSet) -> EvaluationSet:
    """A set of labels with the pictures beside them."""
    if len(labels.classes) > 255:
        raise UserError(f"{labels.about}: at most 255 classes can be evaluated")
    images = {name: labels.picture(name) for name in labels.files}
    samples = tuple(
        Sample(image, lambda name=name: labels.read(name).astype(np.uint8), name=name) for name, image in images.items()
    )
    known = np.flatnonzero(labels.table[:255] >= 0)
    stored = {int(number): labels.classes[labels.table[number]] for number in known}
    void = frozenset(np.flatnonzero(labels.table[:255] == UNLABELLED).tolist())
    return EvaluationSet(labels.layout, labels.about, dict(enumerate(labels.classes)), stored, samples, void)


def _dataset(path: Path, split: str | None) -> EvaluationSet:
    """A dataset in one of the formats that SeeDiff reads."""
    dataset = Dataset.open(path, split=split)
    classes, items = dataset.classes, dataset.samples
    names = dict(enumerate((BACKGROUND, *classes)))
    samples = tuple(item.replace(label_map=partial(item.labels, len(classes))) for item in items)
    about = f"dataset in {path}: {plural(len(items), 'image')}, {plural(len(classes), 'class')}"
    return EvaluationSet("dataset", about, names, names, samples)
