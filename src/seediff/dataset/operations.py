"""Augments a picture together with its labels: the operations of `seediff augment`.

Images are (H, W, 3) uint8. Labels are (H, W) uint8 of class ids (0 background, 255 ignored). In a set with objects,
labels are (H, W) int32: the class id is in the lowest eight bits, and the number of the object is above them, from 1,
or 0 where there is no object.

Operations move labels and never mix them: every value in a result comes from a source, or is the 0 or 255 that the
operation documents. Pillow does the work, because on one CPU core it is faster than tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..config.augment import grid_of
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..rows.row import RecipeStep
from .shapes.objects import Objects

NOISE_SIGMA = 0.02, 0.1
"""Smallest and largest standard deviation of the noise, where 1 is white minus black. Each picture gets a random value
in between. This and the limits below are this package's choice."""
PERSPECTIVE_SHIFT = 0.05, 0.25
"""Distance that corners move inwards, as a share of the sides."""
BOX_COUNT, BOX_SIDE = (1, 3), (0.1, 0.3)
"""Number of noise boxes per picture, and their sides, as a share of the picture's sides."""


@dataclass(frozen=True)
class LabelledImage:
    """A sample in memory: its name, and its image and labels as the module describes them."""

    name: str
    image: np.ndarray
    labels: np.ndarray


def with_objects(label_map: np.ndarray, objects: Objects) -> np.ndarray:
    """Labels (H, W) int32 of a sample with objects. label_map: (H, W) uint8. objects: its objects."""
    return objects.numbers << 8 | label_map


def take_apart(labels: np.ndarray) -> tuple[np.ndarray, Objects]:
    """(label map, objects) of labels (H, W) int32: the reverse of `with_objects`. The label map is (H, W) uint8."""
    # The appended 0 is the lowest value, so that it gets number 0, the number of no object.
    values, numbers = np.unique(np.append(labels, 0), return_inverse=True)
    class_ids = np.where(values >> 8, values & 255, 0)[1:].tolist()
    objects = Objects(numbers[:-1].reshape(labels.shape).astype(np.int32), tuple(class_ids))
    return (labels & 255).astype(np.uint8), objects.visible()


Others = Callable[[int], Sequence[LabelledImage]]
"""A function that returns random other samples of the set, as many as its argument says. If the set has enough, they
are all different."""
Changed = tuple[np.ndarray, np.ndarray, dict[str, Any]]
"""(image, labels, choices): the new image, the new labels, and the random choices, for the recipe. `choices["sources"]`
names the other samples that were used."""


def apply(
    labelled: LabelledImage, operation: str, rng: np.random.Generator, others: Others, mirrored: np.ndarray
) -> tuple[LabelledImage, RecipeStep]:
    """(sample, step): the sample after an operation, and the step of its recipe: the operation and its random choices.

    labelled: the sample before. operation: its name, such as "flip" or "splice-2x2". rng: draws the random choices.
    others: returns other samples. mirrored: (256,), the id of each id in a flipped picture; "left arm" and "right arm"
    change places (`mirrored_ids`).
    """
    grid = grid_of(operation)
    if grid:
        image, labels, choices = splice(labelled, *grid, others)
    else:
        image, labels, choices = RANDOM[operation](labelled, rng)
    if operation == "flip":
        labels = labels - (labels & 255) + mirrored.astype(labels.dtype)[labels & 255]
    return LabelledImage(labelled.name, image, labels), RecipeStep(operation=operation, rest=choices)


def splice(labelled: LabelledImage, rows: int, columns: int, others: Others) -> Changed:
    """A picture of the same size with rows × columns cells, filled row by row with this picture and then others. The
    sides of two cells differ by at most a pixel. Raises UserError for a picture with fewer pixels than cells."""
    height, width = labelled.labels.shape
    if height < rows or width < columns:
        why = f"splice-{rows}x{columns} needs a picture with at least as many pixels; this one is {width}×{height}"
        raise UserError(f"sample '{labelled.name}'", why)
    cells, objects = [labelled, *others(rows * columns - 1)], 0
    image, labels = np.empty_like(labelled.image), np.empty_like(labelled.labels)
    tops, lefts = ([side * i // parts for i in range(parts + 1)] for side, parts in ((height, rows), (width, columns)))
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        place = slice(tops[row], tops[row + 1]), slice(lefts[column], lefts[column + 1])
        size = lefts[column + 1] - lefts[column], tops[row + 1] - tops[row]
        numbered = cell.labels
        if objects:  # its objects are numbered after those of earlier cells
            numbered = numbered + (numbered >= 256) * np.int32(objects << 8)
        objects += int(cell.labels.max()) >> 8
        image[place] = np.asarray(Image.fromarray(cell.image).resize(size, Image.Resampling.BILINEAR))
        labels[place] = np.asarray(Image.fromarray(numbered).resize(size, Image.Resampling.NEAREST))
    return image, labels, {"sources": [cell.name for cell in cells[1:]]}


def noise(labelled: LabelledImage, rng: np.random.Generator) -> Changed:
    """Adds Gaussian noise with the standard deviation 255 · sigma to each channel, and clips the values to 0 … 255."""
    sigma = uniform(rng, NOISE_SIGMA)
    noisy = rng.standard_normal(labelled.image.shape, np.float32) * np.float32(255 * sigma) + labelled.image
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), labelled.labels, {"sigma": sigma}


def tilt(labelled: LabelledImage, rng: np.random.Generator) -> Changed:
    """Moves each corner of the picture inwards by a random share of the sides. Outside of the moved picture, the image
    is black and the labels are 255."""
    height, width = labelled.labels.shape
    shifts = rng.uniform(*PERSPECTIVE_SHIFT, (4, 2)) * (width, height)
    whole = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    corners = (whole + shifts * [(1, 1), (-1, 1), (-1, -1), (1, -1)]).round(2)
    return *perspective(labelled.image, labelled.labels, corners), {"corners": corners.tolist()}


def perspective(image: np.ndarray, labels: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(image, labels) of a picture whose corners are moved. corners: (4, 2), the new (x, y) in pixels of the corners
    top left, top right, bottom right and bottom left, a convex quadrilateral.

    Solves x' = (ax + by + c) / (gx + hy + 1), y' = (dx + ey + f) / (gx + hy + 1), which takes the new corners to the
    old.
    """
    height, width = labels.shape
    rows, old = [], [0, 0, width, 0, width, height, 0, height]
    for (x, y), u, v in zip(np.asarray(corners, np.float64), old[::2], old[1::2], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    back = np.linalg.solve(np.array(rows), np.array(old, np.float64)).tolist()

    def moved(array: np.ndarray, resampling: Image.Resampling, fill: Any) -> np.ndarray:
        kind = Image.Transform.PERSPECTIVE
        return np.asarray(Image.fromarray(array).transform((width, height), kind, back, resampling, fillcolor=fill))

    return moved(image, Image.Resampling.BICUBIC, (0, 0, 0)), moved(labels, Image.Resampling.NEAREST, IGNORE)


def boxes(labelled: LabelledImage, rng: np.random.Generator) -> Changed:
    """Fills boxes with colour noise. The centre of a box is a pixel with a class, if there is one. Labels in boxes
    become 0, but 255 stays. The recipe names each box as [left, top, right, bottom]; right and bottom are exclusive."""
    image, labels = labelled.image.copy(), labelled.labels.copy()
    height, width = labels.shape
    drawn = []
    for _ in range(rng.integers(*BOX_COUNT, endpoint=True)):
        x, y = middle(labels, rng)
        half_w, half_h = (max(1, round(uniform(rng, BOX_SIDE) * side / 2)) for side in (width, height))
        box = [max(x - half_w, 0), max(y - half_h, 0), min(x + half_w, width), min(y + half_h, height)]
        there = slice(box[1], box[3]), slice(box[0], box[2])
        image[there] = rng.integers(0, 256, image[there].shape, np.uint8)
        labels[there] = np.where(labels[there] == IGNORE, IGNORE, 0)
        drawn.append(box)
    return image, labels, {"boxes": drawn}


RANDOM: Mapping[str, Callable[[LabelledImage, np.random.Generator], Changed]] = {
    "noise": noise,
    "perspective": tilt,
    "boxes": boxes,
    "flip": lambda labelled, _: (labelled.image[:, ::-1], labelled.labels[:, ::-1], {}),
}


def uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """A random number within the limits. It is rounded, so that the recipe can state it exactly."""
    return round(float(rng.uniform(*limits)), 4)


def middle(labels: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """(x, y) of a random pixel with a class, or of any random pixel if no pixel has a class."""
    places = np.flatnonzero((labels > 0) & (labels != IGNORE))
    if not len(places):
        places = np.arange(labels.size)
    y, x = divmod(int(places[rng.integers(len(places))]), labels.shape[1])
    return x, y
