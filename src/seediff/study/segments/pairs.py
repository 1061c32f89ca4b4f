"""Images with exact label maps for the studies of segments: the embedded world's scenes, or a folder of photographs with labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ...attention.windows import windows
from ...errors import UserError
from ...evaluate.labels import open_labels
from ...files.photographs import find_photos, read_photo
from ...mini.scenes import CLASS_IDS, load_scenes


@dataclass(frozen=True)
class Pairs:
    """name: what they are, for people. classes: how many, the background of scenes being one. load: image (H, W, 3) uint8 and label map
    (H, W) int32, −1 = unlabelled, both square."""

    name: str
    classes: int
    load: Sequence[Callable[[], tuple[np.ndarray, np.ndarray]]]

    def __len__(self) -> int:
        return len(self.load)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (load() for load in self.load)


def scene_pairs(name: Literal["truth", "shift", "tune"], count: int | None = None) -> Pairs:
    """Scenes with the background as class 0 and VOC's ids."""
    scenes = load_scenes(name, count)
    return Pairs(
        f"{len(scenes)} {name} scenes",
        max(CLASS_IDS.values()) + 1,
        [lambda scene=scene: (scene.image, scene.label_map.astype(np.int32)) for scene in scenes],
    )


def folder_pairs(images: Path, labels: Path, layout: str = "auto", num_classes: int | None = None, count: int | None = None) -> Pairs:
    """The photographs below a folder that have a label map, each cut to its centred square, as DiffSeg evaluates."""
    known = open_labels(labels, layout, num_classes=num_classes)  # type: ignore[arg-type]
    inside = labels.resolve() != images.resolve() and labels.resolve().is_relative_to(images.resolve())
    photos = find_photos([images], exclude=labels if inside else None).photos  # label maps are pictures, too
    pairs = [(photo.path, label) for photo in photos if (label := known.find(photo.name))]
    if not pairs:
        raise UserError(f"{images}: none of its photographs has a label map in {labels}")

    def load(path: Path, label: str) -> tuple[np.ndarray, np.ndarray]:
        photo, label_map = read_photo(path), known.read(label)
        if photo.shape[:2] != label_map.shape:
            raise UserError(f"{path}: {photo.shape[:2]}, but its label map is {label_map.shape}; both are (height, width)")
        centre = windows(label_map.shape[0], label_map.shape[1], "crop")[0].slices
        return photo[centre], label_map[centre]

    chosen = pairs[:count]
    about = f"{len(chosen)} photographs of {images.resolve().parent.name} ({known.layout} labels, {len(known.classes)} classes)"
    return Pairs(about, len(known.classes), [partial(load, path, label) for path, label in chosen])


def chosen_pairs(
    images: Path | None, labels: Path | None, count: int | None, scene_set: Literal["truth", "shift", "tune"], scenes: int
) -> Pairs:
    """A study's pairs from its options: a folder with labels where one is named, else scenes. UserError when only half is given."""
    if (images is None) != (labels is None):
        raise UserError(
            f"--{'labels' if labels is None else 'images'} is missing: photographs are measured with both --images and --labels"
        )
    if count is not None and count < 1:
        raise UserError(f"--count {count}: at least 1 photograph is needed")
    return scene_pairs(scene_set, scenes) if images is None or labels is None else folder_pairs(images, labels, count=count)
