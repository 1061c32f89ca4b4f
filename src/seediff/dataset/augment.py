"""Augments a picture together with its label map: pure functions on arrays, and a randomized version of each as an
`Operation`.

Images are (H, W, 3) uint8, label maps (H, W) uint8: 0 background, 255 ignored. Label maps are moved, never mixed: every
id in a result comes from a source, or is the 0 or 255 that the function documents. Pillow does the work: on one CPU
core it is faster than tensors, and pictures that are processed one at a time need no batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from ..config.augment import Strength, grid_of
from ..errors import UserError
from ..files.label_maps import IGNORE
from .encoding import Instances
from .shapes.objects import Objects, find_objects

MIN_OBJECT = 1 / 400
"""Share of a picture. Smaller pieces of a class are not cut out as objects."""
DONORS = 8
"""Maximum number of samples that are searched for an object to cut out."""


@dataclass(frozen=True)
class Picture:
    """A sample in memory. name: its name in the dataset. labels: its label map (H, W) uint8, or the (H, W) int32 of
    `with_objects`.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray


def with_objects(labels: np.ndarray, objects: Objects) -> np.ndarray:
    """(H, W) int32: the class in the lowest eight bits, and above them the number of the object, from 1 (0 for none).
    It is moved like a label map."""
    return (objects.index + 1) << 8 | labels


def apart(labels: np.ndarray) -> tuple[np.ndarray, Instances]:
    """The label map (H, W) uint8 and the objects of an array that `with_objects` made."""
    known, numbers = np.unique(
        np.append(labels.ravel(), 0), return_inverse=True
    )  # the appended 0 is always the first value
    numbers = numbers[:-1].reshape(labels.shape).astype(np.int32)
    return (labels & 255).astype(np.uint8), Instances(
        numbers, tuple(np.where(known >> 8, known & 255, 0)[1:].tolist())
    ).seen()


Parameters = dict[str, Any]
"""The random parameters of an operation, for the recipe: numbers, lists, and under "sources" the names of other
samples.
"""

Others = Callable[[int], Sequence[Picture]]
"""Returns the given number of other samples of the set, at random, all different if there are enough."""

Changed = tuple[np.ndarray, np.ndarray, Parameters]
"""The new image and label map, and what was drawn at random for them."""

Operation = Callable[[Picture, np.random.Generator, Strength, Others], Changed]


def apply(
    picture: Picture, operations: Sequence[str], rng: np.random.Generator, strength: Strength, others: Others
) -> tuple[Picture, list[Parameters]]:
    """The picture after all operations, in their order, and a step for each: its name and random parameters. The same
    rng and others give the same result."""
    steps = []
    for name in operations:
        if grid := grid_of(name):
            image, labels, drawn = random_splice(picture, *grid, others)
        else:
            image, labels, drawn = RANDOM[name](picture, rng, strength, others)
        picture = replace(picture, image=image, labels=labels)
        steps.append({"operation": name, **drawn})
    return picture, steps


def add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Adds Gaussian noise with standard deviation 255 · sigma to each channel, and clips."""
    noisy = rng.standard_normal(image.shape, np.float32)
    noisy *= 255 * sigma
    noisy += image
    return np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with a standard deviation of sigma pixels, approximated by three box filters."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def perspective(image: np.ndarray, labels: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture with its corners moved to `corners`. Outside of them the image is black and the label map 255.

    corners: (4, 2) of (x, y) in pixels, a convex quadrilateral in the order top left, top right, bottom right, bottom
    left.
    """
    height, width = labels.shape
    whole = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    back = homography(np.asarray(corners, np.float64), whole)
    moved = [
        np.asarray(
            Image.fromarray(array).transform((width, height), Image.Transform.PERSPECTIVE, back, how, fillcolor=fill)
        )
        for array, how, fill in (
            (image, Image.Resampling.BICUBIC, (0, 0, 0)),
            (labels, Image.Resampling.NEAREST, IGNORE),
        )
    ]
    return moved[0], moved[1]


def homography(source: np.ndarray, target: np.ndarray) -> list[float]:
    """The coefficients (a, …, h) of the projection x' = (ax + by + c) / (gx + hy + 1), y' = (dx + ey + f) / (gx + hy +
    1) that maps four points, source (4, 2), to four others, target (4, 2)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values)).tolist()


def cover(
    image: np.ndarray, labels: np.ndarray, box: Sequence[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Fills a box (left, top, right, bottom; the last two exclusive) with colour noise. The label map becomes
    background (0) there, because nothing else is visible, but 255 stays 255."""
    left, top, right, bottom = box
    image, labels = image.copy(), labels.copy()
    image[top:bottom, left:right] = rng.integers(0, 256, (bottom - top, right - left, 3), np.uint8)
    inside = labels[top:bottom, left:right]
    inside[inside != IGNORE] = 0
    return image, labels


def paste(
    image: np.ndarray, labels: np.ndarray, cutout: tuple[np.ndarray, np.ndarray], class_id: int, corner: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Pastes an object in front of the picture. Its pixels get its class, even where the label map was 255, because it
    hides what was uncertain.

    cutout: the image (h, w, 3) uint8 and the mask (h, w) bool of the object. corner: (left, top) of its position; it
    may extend beyond the picture's edges.
    """
    (left, top), (height, width) = corner, labels.shape
    there = (
        slice(max(top, 0), min(top + cutout[1].shape[0], height)),
        slice(max(left, 0), min(left + cutout[1].shape[1], width)),
    )
    here = slice(there[0].start - top, there[0].stop - top), slice(there[1].start - left, there[1].stop - left)
    seen = cutout[1][here]
    image, labels = image.copy(), labels.copy()
    image[there][seen] = cutout[0][here][seen]
    labels[there][seen] = class_id if labels.dtype == np.uint8 else ((int(labels.max()) >> 8) + 1) << 8 | class_id
    return image, labels


def cut_out(
    picture: Picture, number: int, longer_side: int, mirrored: bool
) -> tuple[tuple[np.ndarray, np.ndarray], int] | None:
    """Object `number` of a picture (modulo the number of objects) in the form that `paste` takes, its longer side
    resized to `longer_side` pixels, and its class. None if no object has at least MIN_OBJECT of the picture's pixels.
    """
    labels, instances = (picture.labels, None) if picture.labels.dtype == np.uint8 else apart(picture.labels)
    pieces = find_objects(labels, max(1, round(labels.size * MIN_OBJECT)), instances=instances)
    if not pieces.class_ids:
        return None
    number %= len(pieces.class_ids)
    left, top, right, bottom = pieces.boxes_xyxy[number]
    image, inside = picture.image[top:bottom, left:right], pieces.index[top:bottom, left:right] == number
    scale = longer_side / max(inside.shape)
    size = max(1, round(inside.shape[1] * scale)), max(1, round(inside.shape[0] * scale))
    image = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BICUBIC))
    inside = np.asarray(Image.fromarray(inside.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
    return ((image[:, ::-1], inside[:, ::-1]) if mirrored else (image, inside)), pieces.class_ids[number]


def change_colour(image: np.ndarray, brightness: float, contrast: float, saturation: float, hue: float) -> np.ndarray:
    """Multiplies brightness, contrast and saturation by factors, then shifts the hue by `hue`, a share of the colour
    circle.
    """
    picture = Image.fromarray(image)
    for enhance, factor in (
        (ImageEnhance.Brightness, brightness),
        (ImageEnhance.Contrast, contrast),
        (ImageEnhance.Color, saturation),
    ):
        picture = enhance(picture).enhance(factor)
    if turn := round(hue * 256) % 256:
        channels = np.array(picture.convert("HSV"))
        channels[..., 0] += np.uint8(turn)  # wraps around, as the circle does
        picture = Image.fromarray(channels, "HSV").convert("RGB")
    return np.asarray(picture)


def splice(
    images: Sequence[np.ndarray], label_maps: Sequence[np.ndarray], rows: int, columns: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A picture of `size` (height, width) whose rows × columns cells are the images, row by row, each resized to its
    cell.

    images: rows · columns arrays (H, W, 3) uint8 of any sizes. label_maps: as many (H, W) integers of the same sizes.
    The sides of cells differ by at most a pixel. Images are averaged as they shrink; a pixel of a label map is the
    nearest pixel of its sample, never a mixture. The picture needs as many rows and columns of pixels as of cells.
    """
    height, width = size
    image, labels = np.empty((height, width, 3), np.uint8), np.empty((height, width), label_maps[0].dtype)
    tops, lefts = edges(height, rows), edges(width, columns)
    for number, (picture, label_map) in enumerate(zip(images, label_maps, strict=True)):
        row, column = divmod(number, columns)
        cell = slice(tops[row], tops[row + 1]), slice(lefts[column], lefts[column + 1])
        shape = lefts[column + 1] - lefts[column], tops[row + 1] - tops[row]
        image[cell] = np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BILINEAR))
        labels[cell] = np.asarray(Image.fromarray(label_map).resize(shape, Image.Resampling.NEAREST))
    return image, labels


def edges(length: int, parts: int) -> list[int]:
    """The edges of `parts` cells of nearly equal length: parts + 1 integers from 0 to `length`."""
    return [length * i // parts for i in range(parts + 1)]


def random_splice(picture: Picture, rows: int, columns: int, others: Others) -> Changed:
    """Splices the picture, as the first cell, with other samples; the result has its size. Raises UserError if it has
    fewer rows or columns of pixels than of cells."""
    height, width = picture.labels.shape
    if height < rows or width < columns:
        why = f"splice-{rows}x{columns} needs a picture of as many pixels, and this one is {width}×{height}"
        raise UserError(f"sample '{picture.name}': {why}")
    cells = [picture, *others(rows * columns - 1)]
    label_maps = _numbered_on([cell.labels for cell in cells])
    image, labels = splice([cell.image for cell in cells], label_maps, rows, columns, (height, width))
    return image, labels, {"sources": [cell.name for cell in cells[1:]]}


def _numbered_on(label_maps: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The label maps, with the objects of each numbered on from those of the maps before it."""
    if label_maps[0].dtype == np.uint8:
        return label_maps
    before = np.cumsum([0, *(int(labels.max()) >> 8 for labels in label_maps)]).astype(np.int32)
    return [labels + (labels >= 256) * (first << 8) for labels, first in zip(label_maps, before, strict=False)]


def random_noise(picture: Picture, rng: np.random.Generator, strength: Strength, others: Others) -> Changed:
    sigma = uniform(rng, strength.noise_sigma)
    return add_noise(picture.image, sigma, rng), picture.labels, {"sigma": sigma}


def random_blur(picture: Picture, rng: np.random.Generator, strength: Strength, others: Others) -> Changed:
    sigma = round(uniform(rng, strength.blur_sigma) * min(picture.labels.shape), 4)
    return blur(picture.image, sigma), picture.labels, {"sigma": sigma}


def random_perspective(picture: Picture, rng: np.random.Generator, strength: Strength, others: Others) -> Changed:
    """Moves each corner inwards by a random share of the sides."""
    height, width = picture.labels.shape
    shifts = rng.uniform(*strength.perspective_shift, (4, 2)) * (width, height)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) + shifts * [
        (1, 1),
        (-1, 1),
        (-1, -1),
        (1, -1),
    ]
    corners = corners.round(2)
    return *perspective(picture.image, picture.labels, corners), {"corners": corners.tolist()}


def random_boxes(picture: Picture, rng: np.random.Generator, strength: Strength, others: Others) -> Changed:
    """Covers the picture with boxes of noise, centred on pixels of objects if there are any, because they are meant to
    hide parts of objects."""
    image, labels = picture.image, picture.labels
    height, width = labels.shape
    boxes = []
    for _ in range(count_of(rng, strength.box_count)):
        x, y = middle(labels, rng)
        half_w, half_h = (max(1, round(uniform(rng, strength.box_side) * side / 2)) for side in (width, height))
        box = [max(x - half_w, 0), max(y - half_h, 0), min(x + half_w, width), min(y + half_h, height)]
        image, labels = cover(image, labels, box, rng)
        boxes.append(box)
    return image, labels, {"boxes": boxes}


def random_objects(picture: Picture, rng: np.random.Generator, strength: Strength, others: Others) -> Changed:
    """Pastes objects, centred on pixels of the picture's own objects if it has any. Pastes nothing if the samples that
    were searched have no objects."""
    image, labels = picture.image, picture.labels
    sources, pasted = [], []
    for _ in range(count_of(rng, strength.object_count)):
        side = max(1, round(uniform(rng, strength.object_side) * min(labels.shape)))
        number, mirrored = int(rng.integers(2**31)), bool(rng.integers(2))
        for _ in range(DONORS):
            (donor,) = others(1)
            if (cut := cut_out(donor, number, side, mirrored)) is None:
                continue
            cutout, class_id = cut
            x, y = middle(picture.labels, rng)
            corner = x - cutout[1].shape[1] // 2, y - cutout[1].shape[0] // 2
            image, labels = paste(image, labels, cutout, class_id, corner)
            sources.append(donor.name)
            pasted.append(
                {
                    "class_id": class_id,
                    "corner": list(corner),
                    "size": list(cutout[1].shape[::-1]),
                    "mirrored": mirrored,
                }
            )
            break
    return image, labels, {"sources": sources, "objects": pasted}


def random_colour(picture: Picture, rng: np.random.Generator, strength: Strength, others: Others) -> Changed:
    change = strength.colour_change
    drawn: Parameters = {
        name: uniform(rng, (1 - change, 1 + change)) for name in ("brightness", "contrast", "saturation")
    }
    drawn["hue"] = uniform(rng, (-strength.hue_change, strength.hue_change))
    return change_colour(picture.image, **drawn), picture.labels, drawn


RANDOM: Mapping[str, Operation] = {
    "noise": random_noise,
    "blur": random_blur,
    "perspective": random_perspective,
    "boxes": random_boxes,
    "objects": random_objects,
    "flip": lambda picture, *_: (picture.image[:, ::-1], picture.labels[:, ::-1], {}),
    "flip-vertical": lambda picture, *_: (picture.image[::-1], picture.labels[::-1], {}),
    "colour": random_colour,
}


def uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """A random number within the limits, rounded as in the recipe, so that the recipe states exactly what was done."""
    return round(float(rng.uniform(*limits)), 4)


def count_of(rng: np.random.Generator, limits: tuple[int, int]) -> int:
    return int(rng.integers(limits[0], limits[1] + 1))


def middle(labels: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """(x, y) of a random pixel that has a class, or of any random pixel if none has."""
    of_class = np.flatnonzero((labels > 0) & (labels != IGNORE))
    pixel = int(of_class[rng.integers(len(of_class))]) if len(of_class) else int(rng.integers(labels.size))
    return pixel % labels.shape[1], pixel // labels.shape[1]
