"""The new samples of `seediff augment`, and the operations that change a picture together with its labels.

A new sample is made when it is read. Its random choices depend on the seed and on its number alone. Its bytes are
therefore the same in any order of reading and in any process.

Images are (H, W, 3) uint8. An operation returns a new image and *places*: (H, W), for each new pixel the position in
the sources' pixels from which its label comes, or OUTSIDE or EMPTY. Sources count row by row, one picture after the
other. Labels and objects are then looked up at these places, so that labels are moved and never mixed. Pillow does the
work, because on one CPU core it is faster than tensors.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config.class_names import lone_sides, mirrored_ids
from ..config.sets import AugmentConfig, grid_of
from ..drawing.overlays import contact_sheet, draw_mask
from ..errors import UserError
from ..files.image_files import compress_image
from ..files.label_maps import IGNORE
from ..files.names import CONFIG
from ..prompts.specs import sample_seed
from ..report.page import AUGMENTATIONS
from ..rows.row import Recipe, RecipeStep, Row
from ..rows.values import shown_classes, unclear_parts
from ..version import __version__
from .copies import pixel_digest
from .dataset import Dataset
from .encoding import encode_image
from .sample import EXTRAS, Sample
from .shapes.objects import Objects
from .writing import save_native

NOISE_SIGMA = 0.02, 0.1
"""Smallest and largest standard deviation of the noise, where 1 is white minus black. Each picture gets a random value
in between. This and the limits below are this package's choice."""
PERSPECTIVE_SHIFT = 0.05, 0.25
"""Distance that corners move inwards, as a share of the sides."""
BOX_COUNT, BOX_SIDE = (1, 3), (0.1, 0.3)
"""Number of noise boxes per picture, and their sides, as a share of the picture's sides."""
OUTSIDE, EMPTY = -1, -2
"""Places that no source has: their labels are 255 and 0."""


@dataclass(frozen=True)
class LabelledImage:
    """A sample in memory."""

    name: str
    image: np.ndarray
    """(H, W, 3) uint8."""
    labels: np.ndarray
    """(H, W) uint8 of class ids: 0 background, 255 ignored."""
    objects: Objects | None = None
    """The objects, in a set that has any."""

    @property
    def places(self) -> np.ndarray:
        """(H, W) int32: the position of each pixel, row by row."""
        return np.arange(self.labels.size, dtype=np.int32).reshape(self.labels.shape)


Changed = tuple[np.ndarray, np.ndarray, dict[str, Any]]
"""(image, places, choices): the new image, the places, and the random choices, for the recipe."""


def count_sources(operation: str) -> int:
    """How many samples an operation takes: one for each cell of a splice, otherwise 1."""
    return math.prod(grid_of(operation) or ())


def apply(
    sources: Sequence[LabelledImage], operation: str, rng: np.random.Generator, mirrored: np.ndarray
) -> tuple[LabelledImage, RecipeStep]:
    """(sample, step): the sample after an operation, and the step of its recipe: the operation and its random choices.

    sources: the sample before, and for a splice others, which `sources` of the step names. operation: its name, such as
    "flip" or "splice-2x2". rng: draws the random choices. mirrored: (256,), the id of each id in a flipped picture;
    "left arm" and "right arm" change places (`mirrored_ids`).
    """
    labelled = sources[0]
    grid = grid_of(operation)
    if grid:
        image, places, choices = splice(sources, *grid)
    else:
        image, places, choices = RANDOM[operation](labelled, rng)
    ids = mirrored if operation == "flip" else np.arange(256)
    labels = ids.astype(np.uint8)[look_up([one.labels for one in sources], places, IGNORE)]
    objects = None
    if labelled.objects:
        objects = _objects_at([one.objects for one in sources if one.objects], places, ids)
    return LabelledImage(labelled.name, image, labels, objects), RecipeStep(operation=operation, rest=choices)


def look_up(maps: Sequence[np.ndarray], places: np.ndarray, outside: int) -> np.ndarray:
    """(H, W): the values at places, 0 at EMPTY. maps: the values at the pixels of each source. outside: the value at
    OUTSIDE."""
    flat = [*(one.ravel() for one in maps), np.array([0, outside], maps[0].dtype)]
    return np.concatenate(flat)[places]


def _objects_at(objects: Sequence[Objects], places: np.ndarray, ids: np.ndarray) -> Objects:
    """The objects of the sources, moved to places. ids: (256,), the new class id of each class id."""
    numbers = list[np.ndarray]()
    class_ids = [int(ids[one]) for one in chain(*(each.class_ids for each in objects))]
    before = 0
    for one in objects:  # its objects are numbered after those of earlier sources
        numbers.append(np.where(one.numbers > 0, one.numbers + np.int32(before), 0))
        before += len(one.class_ids)
    return Objects(look_up(numbers, places, 0), class_ids).visible()


def splice(cells: Sequence[LabelledImage], rows: int, columns: int) -> Changed:
    """A picture of the size of the first cell with rows × columns cells, filled row by row. The sides of two cells
    differ by at most a pixel. Raises UserError for a picture with fewer pixels than cells."""
    height, width = cells[0].labels.shape
    if height < rows or width < columns:
        why = f"splice-{rows}x{columns} needs an image with at least as many pixels; this one is {width}×{height}"
        raise UserError(f"sample '{cells[0].name}'", why)
    image = np.empty_like(cells[0].image)
    places = np.empty((height, width), np.int64)
    before = 0
    tops, lefts = ([side * i // parts for i in range(parts + 1)] for side, parts in ((height, rows), (width, columns)))
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        there = slice(tops[row], tops[row + 1]), slice(lefts[column], lefts[column + 1])
        size = lefts[column + 1] - lefts[column], tops[row + 1] - tops[row]
        image[there] = np.asarray(Image.fromarray(cell.image).resize(size, Image.Resampling.BILINEAR))
        places[there] = np.asarray(Image.fromarray(cell.places).resize(size, Image.Resampling.NEAREST))
        places[there] += before
        before += cell.labels.size
    return image, places, {"sources": [cell.name for cell in cells[1:]]}


def noise(labelled: LabelledImage, rng: np.random.Generator) -> Changed:
    """Adds Gaussian noise with the standard deviation 255 · sigma to each channel, and clips the values to 0 … 255."""
    sigma = uniform(rng, NOISE_SIGMA)
    noisy = rng.standard_normal(labelled.image.shape, np.float32) * np.float32(255 * sigma) + labelled.image
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), labelled.places, {"sigma": sigma}


def tilt(labelled: LabelledImage, rng: np.random.Generator) -> Changed:
    """Moves each corner of the picture inwards by a random share of the sides. Outside of the moved picture, the image
    is black and the labels are 255."""
    height, width = labelled.labels.shape
    shifts = rng.uniform(*PERSPECTIVE_SHIFT, (4, 2)) * (width, height)
    whole = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    corners = (whole + shifts * [(1, 1), (-1, 1), (-1, -1), (1, -1)]).round(2)
    return *perspective(labelled.image, labelled.places, corners), {"corners": corners.tolist()}


def perspective(image: np.ndarray, places: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(image, places) of a picture whose corners are moved. places: those of the picture before. corners: (4, 2), the
    new (x, y) in pixels of the corners top left, top right, bottom right and bottom left, a convex quadrilateral.

    Solves x' = (ax + by + c) / (gx + hy + 1), y' = (dx + ey + f) / (gx + hy + 1), which takes the new corners to the
    old.
    """
    height, width = places.shape
    rows = []
    old = [0, 0, width, 0, width, height, 0, height]
    for (x, y), u, v in zip(np.asarray(corners, np.float64), old[::2], old[1::2], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    back = np.linalg.solve(np.array(rows), np.array(old, np.float64)).tolist()

    def moved(array: np.ndarray, resampling: Image.Resampling, fill: Any) -> np.ndarray:
        kind = Image.Transform.PERSPECTIVE
        return np.asarray(Image.fromarray(array).transform((width, height), kind, back, resampling, fillcolor=fill))

    return moved(image, Image.Resampling.BICUBIC, (0, 0, 0)), moved(places, Image.Resampling.NEAREST, OUTSIDE)


def boxes(labelled: LabelledImage, rng: np.random.Generator) -> Changed:
    """Fills boxes with colour noise. The centre of a box is a pixel with a class, if there is one. Labels in boxes
    become 0, but 255 stays. The recipe names each box as [left, top, right, bottom]; right and bottom are exclusive."""
    image = labelled.image.copy()
    places = labelled.places
    labels = labelled.labels.copy()
    height, width = labels.shape
    drawn = []
    for _ in range(rng.integers(*BOX_COUNT, endpoint=True)):
        x, y = middle(labels, rng)
        half_w, half_h = (max(1, round(uniform(rng, BOX_SIDE) * side / 2)) for side in (width, height))
        box = [max(x - half_w, 0), max(y - half_h, 0), min(x + half_w, width), min(y + half_h, height)]
        there = slice(box[1], box[3]), slice(box[0], box[2])
        image[there] = rng.integers(0, 256, image[there].shape, np.uint8)
        places[there] = np.where(labels[there] == IGNORE, places[there], EMPTY)
        labels[there] = np.where(labels[there] == IGNORE, IGNORE, 0)
        drawn.append(box)
    return image, places, {"boxes": drawn}


RANDOM: Mapping[str, Callable[[LabelledImage, np.random.Generator], Changed]] = {
    "noise": noise,
    "perspective": tilt,
    "boxes": boxes,
    "flip": lambda labelled, _: (labelled.image[:, ::-1], labelled.places[:, ::-1], {}),
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


MOST_PAIRS = 24
"""Maximum number of operations that augmentations.jpg shows."""


@dataclass(frozen=True)
class NewSample:
    """A new sample before it is made: which sample to change, and how."""

    name: str
    source: int
    """The position in the set of the sample that the operation changes."""
    operation: str
    number: int
    """The position among the new samples, from 0, from which its random seed follows."""


class AugmentedSamples(Sequence[Sample]):
    """The samples of a set, followed by new samples. Each new sample is made when it is read.

    config: the operations, how many new samples each makes, and whether the set's own samples are included
    (`keep_originals`). classes: the set's classes. samples: its samples. Raises UserError for a set without samples for
    training, if `config` adds no sample, and if it mirrors classes whose other side is no class.
    """

    def __init__(self, config: AugmentConfig, classes: Sequence[str], samples: Sequence[Sample]) -> None:
        self.config = config
        self.classes = tuple(classes)
        self.samples = samples
        self.originals: list[Sample] = []
        """The samples with which this sequence begins, without soft masks and attention, which new ones do not have."""
        if config.keep_originals:
            self.originals = [sample.replace(extras=sample.extras_but(*EXTRAS)) for sample in samples]
        self.objects = any(sample.has_objects for sample in samples)
        """Whether any sample of the set has objects. Then every new sample has objects, too."""
        rows = [sample.row for sample in samples]
        others = {"val", "test", *unclear_parts(row.part for row in rows)}
        # The positions of the samples for training, of which new ones are made.
        self.sources = [i for i, row in enumerate(rows) if row.part not in others and not row.why_left_out()]
        if not self.sources:
            problem = "the dataset has no samples to augment: only those for training are changed"
            raise UserError(f"{problem}, and none that are rejected or unlabelled")
        self.mirrored = np.array(mirrored_ids(self.classes))
        self.new = self._choose()

    def _choose(self) -> list[NewSample]:
        """The new samples to make. Every sample for training is used once before any is used again, in a new random
        order each time."""
        prefix, again = "augmented", 1
        while any(sample.name.startswith(prefix) for sample in self.samples):  # the set was augmented before
            again += 1
            prefix = f"augmented{again}"
        count = len(self.sources)
        operations = list[str]()
        for addition in self.config.additions():
            operations += [addition.operation] * addition.of(count)
        if not operations:
            raise UserError("add", "adds no images", "for example flip:50%")
        alone = lone_sides(self.classes)
        if alone and "flip" in operations:
            problem = f"flip: the other side of {alone} is no class"
            raise UserError("add", problem, "leave flip out")
        sources: list[int] = []
        for turn in range(math.ceil(len(operations) / count)):
            order = np.random.default_rng([self.config.seed, turn]).permutation(count)
            sources += [self.sources[i] for i in order]
        turns = enumerate(zip(operations, sources, strict=False))
        return [NewSample(f"{prefix}-{number:06d}", source, kind, number) for number, (kind, source) in turns]

    def __len__(self) -> int:
        return len(self.originals) + len(self.new)

    def __getitem__(self, position: int) -> Sample:  # type: ignore[override]  # nobody asks for slices
        position = range(len(self))[position]
        before = len(self.originals)
        if position < before:
            return self.originals[position]
        return self.make(self.new[position - before])

    def make(self, new: NewSample) -> Sample:
        """The new sample, made from the picture and labels of its source."""
        seed = sample_seed(self.config.seed, new.number, 0)
        rng = np.random.default_rng(seed)
        more = count_sources(new.operation) - 1
        positions = [new.source]
        if more:  # other samples of the set, all different if it has enough
            rest = [position for position in self.sources if position != new.source] or positions
            positions += [rest[i] for i in rng.choice(len(rest), more, replace=more > len(rest))]
        before = [*map(self.read, positions)]
        labelled, step = apply(before, new.operation, rng, self.mirrored)

        # Kept: the prompt, unless other samples are part of the picture; the model, if it drew the picture; the
        # method of a part of the mask that nobody has checked.
        # Dropped: the flags, which are about the source's mask.
        sample = self.samples[new.source]
        of_source = sample.row
        pixels = sample.row.pixels or pixel_digest(before[0].image)
        rows = [self.samples[position].row for position in positions]
        row = Row(
            prompt=None if "sources" in step.rest else of_source.prompt,
            split=of_source.split,
            model=None if of_source.of_photo else of_source.model,
            method=next((row.method for row in rows if row.unchecked), None),
            recipe=Recipe(source=sample.name, pixels=pixels, seed=seed, steps=(step,)),
            version=__version__,
        )
        data = encode_image(np.ascontiguousarray(labelled.image), sample.suffix)
        row = row.showing(shown_classes(labelled.labels, self.classes))
        return Sample(data, labelled.labels, labelled.objects, row, name=new.name)

    def read(self, position: int) -> LabelledImage:
        """The sample at a position of the set, in memory."""
        sample = self.samples[position]
        labels = sample.labels(len(self.classes))
        objects = sample.objects(labels) if self.objects else None
        return LabelledImage(sample.name, sample.image, labels, objects)

    def added(self) -> Counter[str]:
        """Operation → number of new samples."""
        return Counter(new.operation for new in self.new)

    def before_after(self) -> bytes:
        """A JPEG that shows the first new sample of each operation beside its source, both with their masks."""
        first: dict[str, NewSample] = {}
        for new in self.new:
            first.setdefault(new.operation, new)
        shown = [*first.items()][:MOST_PAIRS]
        tiles = list[np.ndarray]()
        for _, new in shown:
            both = self.samples[new.source], self.make(new)
            drawn = [draw_mask(one.image, one.labels(len(self.classes)), 150) for one in both]
            tiles.append(contact_sheet(drawn, 2, gap=2))
        sheet = contact_sheet(tiles, 3, [kind for kind, _ in shown])
        return compress_image(sheet, "JPEG", quality=85, subsampling=0)


def open_augmented(config: AugmentConfig, data: Path | str) -> AugmentedSamples:
    """The samples of the native dataset `data`, followed by new samples. config: as for `AugmentedSamples`. Raises
    UserError as `Dataset.open` and `AugmentedSamples` do."""
    opened = Dataset.open(data, "native")
    return AugmentedSamples(config, opened.classes, opened.samples)


def write_augmented(
    samples: AugmentedSamples,
    out: Path | str,
    **options: Any,
) -> None:
    """Writes the samples as the native dataset `out`, which appears only when it is complete. options: `link`,
    `workers` and `follow` of `save_native`. Raises UserError as `save_native` does."""
    config = samples.config
    about = {
        "command": config.command,
        "originals": len(samples.originals),
        "added": ", ".join(f"{kind} {count}" for kind, count in samples.added().items()),
        "seed": config.seed,
        "version": __version__,
    }
    files = {AUGMENTATIONS: samples.before_after(), CONFIG: config.to_toml().encode("utf-8")}
    save_native(out, samples.classes, samples, about=about, files=files, **options)
