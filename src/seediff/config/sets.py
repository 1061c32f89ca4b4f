"""The configurations of `augment`, `filter` and `evaluate`, and defaults of other commands for sets."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from cyclopts import Group, Parameter

from ..errors import UserError
from .class_names import parse_classes, split_names
from .fields import WORD, AnySeed, Count, Seed, Share, Whole, WholeNumber, check_fields, read_names, shown
from .settings import Settings

OPERATIONS = ("splice-RxC", "noise", "perspective", "boxes", "flip")
MAX_CELLS = 16
"""Maximum number of rows in a spliced image, and of columns."""

DIFFUMASK = (
    "splice-1x2:1500/60000",
    "splice-2x1:1500/60000",
    "splice-2x2:3000/60000",
    "splice-3x3:4000/60000",
    "splice-5x5:3000/60000",
    "splice-6x6:2000/60000",
    "splice-7x7:2000/60000",
    "splice-8x8:1000/60000",
    "noise:3000/60000",
    "perspective:3000/60000",
    "boxes:3000/60000",
)
"""The additions for which `diffumask` stands. The counts of grids are from DiffuMask's paper, which gives one count for
1×2 and 2×1 together. The counts of noise, perspective and boxes are this package's choice."""


Reviewed = Literal["accepted", "rejected", "not-rejected", "unreviewed", "corrected"]
"""What people decided in `seediff look`."""
ProtocolName = Literal[
    "own", "voc", "voc-zero-shot", "voc-zero-shot-objects", "cityscapes-human-vehicle", "ade20k", "domain", "camvid"
]
"""`evaluate`: see evaluate/protocols.py."""
MatchingProtocol = Literal["diffseg", "dataset", "strict"]
"""`evaluate segments`: see metrics/matching.py."""
VAL_SHARE = 0.2
"""`split`: the share of the samples for validation."""
DOUBT_STEPS, DOUBT_FOLDS = 150, 2
"""`doubt`: the steps of each training, and the number of parts."""
WHAT, OUTPUT = Group("What to add", sort_key=1), Group("Output", sort_key=2)


@dataclass(frozen=True)
class Addition:
    """One entry of a recipe, such as `flip:50%`."""

    operation: str
    amount: float
    """The number of new pictures, or their share of the training samples."""
    shared: bool
    """Whether `amount` is a share."""

    def of(self, samples: int) -> int:
        """The number of pictures to add to a set. A share above 0 gives at least 1. samples: the number of the set's
        training samples."""
        if not self.shared:
            return int(self.amount)
        if not (self.amount and samples):
            return 0
        return max(1, round(self.amount * samples))


def parse_recipe(text: str) -> tuple[str, ...]:
    """The additions in a text, where commas separate them: `flip:50%,noise:200`. Raises UserError."""
    additions: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if part == "diffumask":
            additions += DIFFUMASK
        else:
            parse_addition(part)  # refuses what is no addition
            additions.append(part)
    return tuple(additions)


def parse_addition(text: str) -> Addition:
    """The addition that a text describes. In `flip:50%` and `splice-2x2:3000/60000` the amount is a share of the
    training samples, in `noise:200` a number of pictures. Raises UserError."""
    name, _, amount = (part.strip() for part in text.partition(":"))
    if grid_of(name) is None and name not in OPERATIONS[1:]:
        fix = f"there are {', '.join(OPERATIONS)}, and diffumask"
        raise UserError("add", f"'{text}': there is no operation '{name}'", fix)
    parts = re.fullmatch(r"(\d{1,7}(?:\.\d+)?)(?:/([1-9]\d{,6}))?", amount.replace("%", "/100"))
    if parts is not None:
        number, divisor = float(parts[1]), parts[2]
        if divisor or number.is_integer():
            return Addition(name, number / int(divisor or 1), shared=bool(divisor))
    examples = f"for example {name}:10% (of the training samples), {name}:3000/60000, or {name}:500 (images)"
    raise UserError("add", f"'{text}' must end with how many", examples)


def grid_of(operation: str) -> tuple[int, int] | None:
    """(rows, columns) of a splice: `splice-2x3` → (2, 3). None for another operation. Raises UserError for an
    impossible grid."""
    sides = re.fullmatch(r"splice-(\d+)x(\d+)", operation)
    if sides is None:
        return None
    rows, columns = int(sides[1]), int(sides[2])
    if not (1 <= rows <= MAX_CELLS and 1 <= columns <= MAX_CELLS) or rows * columns == 1:
        raise UserError("add", f"'{operation}': a splice has 1 to {MAX_CELLS} rows and columns, and more than one cell")
    return rows, columns


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Settings):
    """The configuration of `augment`: what to add to a dataset."""

    command: ClassVar[str] = "augment"

    seed: Annotated[Seed, Parameter(group=WHAT)] = 0
    """Random seed; a different seed gives different images."""
    add: Annotated[tuple[str, ...], Parameter(group=WHAT, show_default="diffumask"), read_names(parse_recipe)] = (
        DIFFUMASK
    )
    """OPERATION:HOW-MANY, separated by commas or repeated: flip:50% (of the training samples), noise:200 (images), or
    diffumask (DiffuMask's recipe). Operations: splice-RxC, noise, perspective, boxes, flip.
    """
    keep_originals: Annotated[bool, Parameter(group=OUTPUT)] = True
    """Also write the original samples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.additions()

    def additions(self) -> list[Addition]:
        """What to add, from the texts in `add`. Raises UserError."""
        return [parse_addition(text) for text in self.add]


@Parameter(name="*", group=Group("Criteria", sort_key=2))
@dataclass(frozen=True)
class Criteria:
    """The criteria that a sample must meet to stay. Raises UserError, with the field's name, for a value out of
    range."""

    drop_flags: Annotated[tuple[str, ...], read_names(split_names)] = ()
    """Drop samples with these flags, separated by commas: kinds, `kind:class`, or `all`."""
    min_area: Share = 0.0
    """Minimum area of every class in a sample, as a share of the image."""
    max_area: Share = 1.0
    """Maximum area of every class in a sample, as a share of the image."""
    max_components: Count | None = None
    """Maximum number of connected pieces of every class."""
    min_piece: Count = 1
    """With --max-components: smallest piece that counts, in pixels."""
    min_confidence: Share | None = None
    """Minimum confidence of every class, from 0 to 1: the soft IoU of its soft mask and its mask."""
    min_support: Share | None = None
    """Minimum support, from 0 to 1, by a segmenter that learned from other samples (`seediff doubt`)."""
    best: Count | None = None
    """Keep at most this many samples per class, the least doubtful first (`seediff doubt`)."""
    worst: Count | None = None
    """Keep at most this many samples, the most doubtful first."""
    reviewed: Reviewed | None = None
    """Keep samples with this decision in `seediff look`."""
    clean: Count | None = None
    """Last, give connected pieces and holes of fewer pixels the label around them, as V in `seediff look` does."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_piece > 1 and self.max_components is None:
            raise UserError("min_piece", "works only with --max-components N")


NO = Parameter(negative=(), show_default="no")


@Parameter(name="*")
@dataclass(frozen=True)
class Comparison:
    """How `evaluate` compares predictions with labels."""

    protocol: ProtocolName = "own"
    """Classes to evaluate: the data's own, or those of a published comparison."""
    split: Annotated[str | None, shown("val for public data, test for CamVid, else all")] = None
    """Part of the data to evaluate."""
    against: Annotated[tuple[Path, ...], Parameter(name="--against", negative=()), shown(False)] = ()
    """Other predictions of the same data: print both scores, and their paired difference with its interval. Repeat the
    option for several."""
    class_map: Annotated[Path | None, shown(False)] = None
    """TOML file that maps the model's class names to the data's."""
    classes: Annotated[
        tuple[str, ...] | None, read_names(parse_classes), shown("its classes.txt, else the data's ids")
    ] = None
    """Class names for the ids in PRED, from 1 up, or a file of names."""
    scales: Annotated[tuple[float, ...], WORD] = (1.0,)
    """Relative sizes at which MODEL sees each image, for example 0.5,1,2; scores are averaged."""
    flip: Annotated[bool, NO] = False
    """MODEL also sees each image mirrored; scores are averaged."""
    boundary: Annotated[bool, Parameter(negative="--no-boundary", show_default="yes")] = True
    """Also compute boundary IoU."""
    device: Annotated[str | None, shown("the fastest available")] = None
    """Device for MODEL: cuda, mps or cpu."""
    draws: Whole = 1000
    """Number of bootstrap draws over images, for the intervals."""
    seed: AnySeed = 0
    """Random seed for the bootstrap."""
    with_rejected: Annotated[bool, NO] = False
    """Also compare with samples that were rejected in `seediff look`."""
    corrected: Annotated[bool, NO] = False
    """Evaluate the masks of a reviewed dataset as people corrected them, not as they were made."""


@Parameter(name="*")
@dataclass(frozen=True)
class SegmentComparison:
    """How `evaluate segments` compares segments with labels."""

    protocol: MatchingProtocol = "diffseg"
    """Match segments per image (diffseg), once for the whole set (dataset), or per image with false positives
    (strict)."""
    num_classes: Annotated[Whole | None, shown("those of its classes.txt")] = None
    """Number of classes in a plain folder without classes.txt; their ids count from 0."""
    split: Annotated[str | None, shown("val; test for CamVid")] = None
    """Part of the dataset to evaluate."""
    void: Annotated[tuple[WholeNumber, ...], WORD, shown("only 255")] = ()
    """Ids in a plain folder to ignore, for example 0,11."""
    names: Annotated[Path | None, Parameter(name="--list", show_default="all of them")] = None
    """Text file with the labels to evaluate, one name per line."""
    size: Annotated[Whole | None, shown("its own")] = None
    """Evaluate the centred square, resized to this side in pixels: 512 or 320 in the papers."""
    draws: Whole = 1000
    """Number of bootstrap draws over images, for the intervals."""
    seed: AnySeed = 0
    """Random seed for the bootstrap."""
