"""Where the label maps to evaluate come from: a folder of PNG files, or a segmenter that makes them now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.names import BACKGROUND
from ..errors import UserError
from ..files.label_maps import map_folder, pair, read_segment_ids
from .labels import class_names
from .layouts import EvaluationSet, Sample
from .protocols import IGNORED, listed

NAMED = 5
"""How many images an error names."""


@dataclass(frozen=True)
class Predictor:
    """about: for people, in a line. classes: name of each id of its label maps. predict: label maps (H, W) uint8 of samples, 255 where
    there is none; raises UserError. at_once: how many samples it is given together."""

    about: str
    classes: Mapping[int, str]
    predict: Callable[[Sequence[Sample]], list[np.ndarray]]
    at_once: int = 1


def open_predictor(
    path: Path,
    data: EvaluationSet,
    *,
    classes: Sequence[str] | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    device: str | None = None,
) -> Predictor:
    """The segmenter of a folder with a config.json, or else a folder of label maps with one for each of the data's images.

    classes: of the label maps, from id 1; by default those of classes.txt in their folder or beside it, else the data's own ids. scales,
    flip: of a segmenter's test-time augmentation. Raises UserError when images have no prediction; with a segmenter, when there is a truth
    that cannot be read, or has no picture of its size: all are read before.
    """
    if any((path / name).is_file() for name in ("config.json", "checkpoint.safetensors")):  # finished, or not yet
        if classes is not None:
            raise UserError("--classes: a segmenter knows its classes; the option is for folders of label maps")
        return _segmenter(path, data, tuple(scales), flip, device)
    if tuple(scales) != (1.0,) or flip:
        raise UserError(f"{path}: --scales and --flip are for a segmenter, but the folder holds no config.json of one")
    return _folder(path, data, classes)


def _folder(path: Path, data: EvaluationSet, classes: Sequence[str] | None) -> Predictor:
    folder = map_folder(path)
    paired, missing = pair([sample.name for sample in data.samples], path)
    if missing:
        raise UserError(
            f"{folder}: has no prediction for {len(missing)} of {len(data.samples)} images: {listed(missing, NAMED)}; "
            "label maps are PNG files named like the images"
        )
    listing = next((file for file in (folder / "classes.txt", folder.parent / "classes.txt") if file.is_file()), None)
    if classes is not None:
        names, source = dict(enumerate((BACKGROUND, *classes))), "--classes"
    elif listing:
        names, source = class_names(listing), str(listing)
    else:
        names, source = dict(data.stored), "the data's own ids"
    void = sorted(data.void) if source == "the data's own ids" else []
    known = np.zeros(256, bool)
    known[[*(number for number in names if number < IGNORED), *void, IGNORED]] = True
    table = np.arange(256, dtype=np.uint8)
    table[void] = IGNORED

    def read(sample: Sample) -> np.ndarray:
        file = paired[sample.name]
        stored = read_segment_ids(file)
        ids = stored.astype(np.uint8)  # −1 is 255
        if stored.max(initial=-1) >= IGNORED or not known[ids].all():
            unknown = [str(i) for i in np.unique(stored) if i >= IGNORED or not known[i]]
            raise UserError(f"{file}: has ids {listed(unknown, NAMED)}, which are no classes; ids are those of {source}, and 255")
        return table[ids]

    about = f"label maps in {folder}, {len(names)} classes ({source})"
    return Predictor(about, names, lambda samples: [read(sample) for sample in samples])


def check_pictures(data: EvaluationSet) -> None:
    """Raise UserError unless every truth can be read and has a picture of its size. Takes a few milliseconds each, where segmenting takes
    long and would stop at the first that is wrong."""
    without = [sample.name for sample in data.samples if sample.image is None]
    if without:
        raise UserError(f"{data.about}: {len(without)} of {len(data.samples)} labels have no picture: {listed(without, NAMED)}")
    for sample in data.samples:
        if (of_truth := sample.truth().shape) != (of_picture := sample.size()):
            raise UserError(f"'{sample.name}': its truth is {of_truth}, but its picture {of_picture}; both are (height, width)")


def _segmenter(path: Path, data: EvaluationSet, scales: tuple[float, ...], flip: bool, device: str | None) -> Predictor:
    check_pictures(data)
    from ..train.predict import load_segmenter

    segmenter = load_segmenter(path, device)
    names = dict(enumerate((BACKGROUND, *segmenter.classes)))
    how = "".join([f", scales {', '.join(f'{s:g}' for s in scales)}" if scales != (1.0,) else "", ", mirrored too" if flip else ""])
    return Predictor(
        f"segmenter {path}, {len(segmenter.classes)} classes{how}",
        names,
        lambda samples: segmenter.label_maps([sample.picture() for sample in samples], scales=scales, flip=flip),
        at_once=8,
    )
