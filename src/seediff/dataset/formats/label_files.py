"""What codecs share: the pictures of a folder and their names, and the shapes of a picture."""

from __future__ import annotations

import cmath
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Annotated

import msgspec
import numpy as np

from ...errors import UserError
from ...files.image_files import check_pixels, orientation_of
from ...files.label_maps import IGNORE, named_images
from ...files.messages import show_json
from ...files.photo_files import without_suffix
from ...files.reading import composed
from ..encoding import Instances
from ..sample import JPEG_SUFFIXES, Sample, image_size
from ..shapes.objects import Objects, whole_classes
from ..shapes.rle import polygon_runs

IMAGE_SUFFIXES = (".png", *(f".{suffix}" for suffix in JPEG_SUFFIXES))
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Name of a split in any data set, in small letters → SeeDiff's name."""
Side = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Near = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
"""A coordinate. pycocotools ends the process for a polygon of much larger coordinates."""


def given_or(images: Path | None, *usual: Path) -> list[Path]:
    """The folders of the pictures: the folder that the user named, or else the usual folders."""
    if images is None:
        return [*usual]
    return [images]


def portable(name: str) -> str:
    """A picture's path with / as separator, also if it was written on Windows; the last part of an absolute Windows
    path."""
    path = PureWindowsPath(name)
    if "\\" not in name:
        return name
    return path.name if path.anchor else path.as_posix()


def unique_names(images: Iterable[tuple[str | None, str]]) -> list[str]:
    """The names of samples. images: (part of the set, picture's path). A name is the first of these that is unique: the
    path without suffix, the same after the part, the path, and the path after the part."""
    forms: list[tuple[str, ...]] = []
    for part, path in images:
        stem, top = without_suffix(path), f"{part}/" if part else ""
        forms.append((stem, top + stem, path, top + path))
    counts = [Counter(form) for form in zip(*forms, strict=True)]
    names: list[str] = []
    for own in forms:
        unique = (form for form, count in zip(own, counts, strict=True) if count[form] == 1)
        names.append(next(unique, own[-1]))
    return names


def images_by_name(folder: Path) -> dict[str, Path]:
    """Name → file for the PNG and JPEG files of `named_images`; NAME.jpg goes before NAME.png."""
    return dict(reversed(named_images(folder, IMAGE_SUFFIXES)))


class Shapes:
    """The shapes of a picture of `shape` (H, W), painted one over the other."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.numbers = np.zeros(shape, np.int32, order="F")
        """(H, W): the visible shape at each pixel, from 1 on, 0 for none."""
        self.class_ids, self.groups = list[int](), dict[tuple[int, object], int]()

    def number(self, class_id: int, group: object = None) -> int:
        """Adds a shape and returns its number. Shapes with the same class and group (unless it is None) share a number:
        they are one object."""
        if group is not None and (class_id, group) in self.groups:
            return self.groups[class_id, group]
        self.class_ids.append(class_id)
        self.groups[class_id, group] = len(self.class_ids)
        return len(self.class_ids)

    def runs(self, runs: np.ndarray, number: int) -> None:
        """Paints the pixels inside of run lengths."""
        flat, ends = self.numbers.reshape(-1, order="F"), np.cumsum(runs).tolist()
        for begin, end in zip(ends[:-1:2], ends[1::2], strict=False):
            flat[begin:end] = number

    def box(
        self, left: float, top: float, right: float, bottom: float, degrees: float = 0, about: complex | None = None
    ) -> None:
        """Paints the pixels that a box touches as 255; all boxes are one shape. A box that is turned clockwise by
        `degrees` about a point x + yi, by default its centre, is painted as the upright box around it."""
        if degrees % 360:
            if about is None:
                about = complex(left + right, top + bottom) / 2
            corners = np.add.outer([left, right], [top * 1j, bottom * 1j])
            turned = (about + (corners - about) * cmath.rect(1, math.radians(degrees))).round(6)
            left, top = turned.real.min(), turned.imag.min()
            right, bottom = turned.real.max(), turned.imag.max()
        rows = slice(max(0, math.floor(top)), max(0, math.ceil(bottom)))
        inside = self.numbers[rows, max(0, math.floor(left)) : max(0, math.ceil(right))]
        inside[:] = self.number(IGNORE, "box")

    def box_around(self, corners: Sequence[tuple[float, float]]) -> None:
        """Paints the box around points (x, y) as 255."""
        across, down = zip(*corners, strict=True)
        self.box(min(across), min(down), max(across), max(down))

    def ellipse(self, centre: complex, across: float, down: float, degrees: float, number: int, where: str) -> None:
        """Paints an ellipse about the point x + yi. across, down: its radii before it is turned clockwise by `degrees`.
        where: the shape's name in errors. Raises UserError."""
        turns = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        outline = (across * np.cos(turns) + down * 1j * np.sin(turns)) * cmath.rect(1, math.radians(degrees)) + centre
        self.runs(polygon_runs([outline.view(np.float64).tolist()], self.numbers.shape, where), number)

    def painted(self) -> Instances:
        """The shapes as objects; where no shape is, there is none."""
        return Instances(np.ascontiguousarray(self.numbers, np.int32), tuple(self.class_ids))


def class_of(label: str, ids: Mapping[str, int], where: str) -> int:
    """The id of a shape's label, of any case for names that mean 0 or 255. ids: label → id, from `number_labels`.
    Raises UserError."""
    name = composed(label.strip())
    class_id = ids.get(name, ids.get(name.casefold()))
    if class_id is None:
        classes = ", ".join(name for name, i in ids.items() if 0 < i < IGNORE)
        raise UserError(where, f"has the label {show_json(label)}, which is not a class; they are {classes}")
    return class_id


def masks_of(sample: Sample, labels: np.ndarray, objects: bool) -> list[Objects]:
    """The classes in a sample's label map, 255 included, each as one object. objects: instead, the sample's objects,
    then the classes in the rest of the label map."""
    if not objects:
        return [whole_classes(labels)]
    found = sample.objects(labels)
    return [found, whole_classes(found.rest(labels))]


def by_object(images: Iterable[Sequence[str]]) -> bool:
    """Whether each mask is an object: if two masks in one picture have the same label. Otherwise a mask may hold all
    objects of a class. images: the labels of the masks in each picture."""
    return any(len({*labels}) < len(labels) for labels in images)


def shown_size(image: Path | bytes, where: str | None = None) -> tuple[int, int]:
    """(height, width) of a picture that is turned by its EXIF orientation."""
    height, width = image_size(image, where)
    return (width, height) if 5 <= orientation_of(image, where) <= 8 else (height, width)


def check_frame(image: Path | bytes, shape: tuple[int, int], where: str) -> None:
    """Raises UserError unless labels of `shape` (H, W) have the size of their picture, as stored or as shown."""
    size = image_size(image)
    if size != shape != shown_size(image):
        named = f" {image}" if isinstance(image, Path) else ""
        raise UserError(where, f"is {shape}, but its picture{named} is {size}; both are (height, width)")
    check_pixels((shape[1], shape[0]), where)
