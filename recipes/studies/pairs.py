"""Images with label maps, on which segments are measured: scenes of the embedded world, or photographs from a
folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter

from recipes.mini.sets import load_set
from seediff.dataset.dataset import Dataset
from seediff.errors import UserError
from seediff.files.image_files import read_photo
from seediff.files.label_maps import IGNORE
from seediff.files.names import match_names
from seediff.files.photo_files import find_photos
from seediff.mini import CLASS_IDS
from seediff.view import seen_window

SceneSet = Annotated[Literal["truth", "shift"], Parameter(name="--set")]


@dataclass(frozen=True)
class Pairs:
    """name: a description for people. classes: their number, including the background. load: functions that return an
    image (H, W, 3) uint8 and a label map (H, W) int32, −1 = unlabelled, both square."""

    name: str
    classes: int
    load: Sequence[Callable[[], tuple[np.ndarray, np.ndarray]]]

    def __len__(self) -> int:
        return len(self.load)


def scene_pairs(name: str, count: int) -> Pairs:
    """The first `count` scenes of a set, with VOC's ids and the background as class 0."""
    load = [lambda scene=scene: (scene.image, scene.label_map.astype(np.int32)) for scene in load_set(name, count)]
    return Pairs(f"{count} {name} scenes", max(CLASS_IDS.values()) + 1, load)


def folder_pairs(images: Path, labels: Path, count: int | None = None) -> Pairs:
    """The first `count` photographs of a folder that have a label map, each cut to its centred square, as in DiffSeg's
    evaluation.
    """
    known = Dataset.open(labels, labels_alone=True)
    truths = {sample.name: sample for sample in known}
    first = min(known.names)
    inside = labels.resolve() != images.resolve() and labels.resolve().is_relative_to(images.resolve())
    photos = find_photos([images], exclude=labels if inside else None).photos  # label maps are pictures, too
    labels_of, _ = match_names([photo.name for photo in photos], truths, labels)
    pairs = [(photo.path, labels_of[photo.name]) for photo in photos if photo.name in labels_of][:count]
    if not pairs:
        raise UserError(f"{images}: none of its photographs has a label map in {labels}")

    def load(path: Path, label: str) -> tuple[np.ndarray, np.ndarray]:
        photo, stored = read_photo(path), truths[label].raw_labels()
        label_map = np.where(stored == IGNORE, -1, stored.astype(np.int32) - first)
        if photo.shape[:2] != label_map.shape:
            raise UserError(
                f"{path}: {photo.shape[:2]}, but its label map is {label_map.shape}; both are (height, width)"
            )
        centre = seen_window(label_map.shape[0], label_map.shape[1], "crop").slices
        return photo[centre], label_map[centre]

    folder = images.resolve().parent.name
    about = f"{len(pairs)} photographs of {folder} (labels in {labels.name}, {len(known.names)} classes)"
    return Pairs(about, len(known.names), [partial(load, path, label) for path, label in pairs])
