"""What some keys of a row hold: `flags`, which mark masks that may be wrong; `split`, by the part of a set; and the
classes that a label map shows.

A flag is `kind:class`. The flags `no_class`, `no_background`, `blank` and `unlabelled` are about the whole picture and
name no class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..files.messages import plural, show_json

NAMING_CLASSES = {
    "no_seeds": "no position reached α, so the single highest one was used as the seed",
    "no_background_seeds": "the background had no seed, so the background refinement was skipped",
    "constant_map": "a map has the same value everywhere, so it does not show where the class is",
    "degenerate": "the mask covers less than 1 % or more than 95 % of the image",
    "mixed": "the mask nearly coincides with another class's in attention: was it drawn, or are both one thing?",
}
NO_BACKGROUND = "no_background"
BLANK = "blank"
UNLABELLED = "unlabelled"
FLAGS = {
    **NAMING_CLASSES,
    "no_class": "none of the classes was found in the photograph",
    NO_BACKGROUND: "several classes together cover more than 99 % of the image; perhaps one of them was not drawn",
    BLANK: "the image is black, as a safety checker leaves it: masks are of what was drawn before",
    UNLABELLED: "nobody has painted the image's mask, or accepted it as empty",
}
"""Kind of flag → its meaning, without a full stop, for all flags of SeeDiff. NAMING_CLASSES has the flags that name a
class."""
SMALLEST, LARGEST = 0.01, 0.95
"""The smallest and the largest usual share of a mask in its picture. Any other mask gets the flag `degenerate`.
SMALLEST is also the smallest usual share of the background."""
NOT_DRAWN = ("mixed", NO_BACKGROUND)
"""The kinds of flags for which `generate` draws an image of several classes again: perhaps a class was not drawn."""


def area_flags(area: Mapping[str, float], background: float) -> list[str]:
    """The flags of masks that cover too little or too much of the picture. area: class → share in [0, 1]. background:
    its share."""
    flags = [f"degenerate:{name}" for name, share in area.items() if not SMALLEST <= share <= LARGEST]
    if background < SMALLEST and max(area.values(), default=1) <= LARGEST:
        flags.append(NO_BACKGROUND)
    return flags


def flag_kind(flag: str) -> str:
    """`no_seeds:dog` → `no_seeds`."""
    return flag.partition(":")[0]


def explain_flag(flag: str) -> str:
    """The meaning of a flag; "" for a flag of another program."""
    return FLAGS.get(flag_kind(flag), "")


def check_flags(texts: Sequence[str], classes: Sequence[str], flags: Iterable[str]) -> None:
    """Raise UserError for a text that names no flag. A kind of flag, `kind:class` and `all` name flags.

    texts: what the user gave. classes, flags: the dataset's own, which may come from other programs."""
    flags = set(flags)
    kinds = [*FLAGS, *sorted({flag_kind(flag) for flag in flags} - set(FLAGS))]
    of_classes = {f"{kind}:{name}" for kind, name in product(NAMING_CLASSES, classes)}
    unknown = [text for text in texts if text not in {"all", *kinds, *flags, *of_classes}]
    if unknown:
        example = f"{kinds[0]}:{[*classes, 'dog'][0]}"
        fix = f"there are {', '.join(kinds)} and all; for one class, for example {example}"
        raise UserError("drop_flags", f"{unknown[0]}: no such flag", fix)


# Parts of a set.

SPLITS = ("train", "val", "test")
"""The values of `split`. A sample without `split` is for training."""
NO_SPLIT = f"is none of {', '.join(SPLITS)}"
"""What messages say of an unclear part."""
_WORDS = {
    "train": "train training trainaug train_aug",
    "val": "val valid validation dev minival",
    "test": "test testing",
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words.split()}


def part_of(name: str) -> str | None:
    """The split that the name of a part means: "val" for `Validation`. None for any other name: no split is guessed."""
    return _SPLIT_OF.get(name.lower())


def unclear_parts(names: Iterable[str | None]) -> Counter[str]:
    """Name → number of samples, for parts that may be for training or not: those whose name means no split, in a set
    where another part's name does. names: the name of each sample's part, or None."""
    counts = Counter(filter(None, names))
    if not any(map(part_of, counts)):
        return Counter()
    return Counter({name: count for name, count in counts.items() if part_of(name) is None})


def row_splits(names: Sequence[str | None]) -> list[str | None]:
    """The `split` of each sample: the split that its part's name means, or an unclear name itself, or None. names: as
    for `unclear_parts`."""
    splits = {name: part_of(name or "") for name in names} | {name: name for name in unclear_parts(names)}
    return [splits[name] for name in names]


def check_parts(names: Iterable[str], where: object) -> None:
    """Raises UserError if parts are unclear. names: the `Row.part` of each sample. where: their set in errors."""
    for name, count in unclear_parts(names).items():
        problem = f"its part {show_json(name)} of {plural(count, 'sample')}"
        raise UserError(where, f"{problem} {NO_SPLIT}", f"--split says which part is used, such as train or {name}")


def no_part(split: str, where: object, parts: Iterable[str]) -> UserError:
    """The error for a part that a set does not have. split: the part. where: the set. parts: those of its samples."""
    there = ", ".join(sorted({*parts})) or "none"
    return UserError("split", f"{split}: {where} has no image in this part", f"parts there: {there}")


# What a label map shows.


class Shown(NamedTuple):
    """What a label map shows, as the keys of a row."""

    classes: tuple[str, ...]
    class_ids: tuple[int, ...]
    area: dict[str, float]
    """Class → the share of the picture that it covers, to six digits."""


def ids_by_name(classes: Iterable[str]) -> dict[str, int]:
    """Class → id. classes: the classes of ids 1, 2, …, without the background."""
    return {name: number for number, name in enumerate(classes, 1)}


def shown_classes(
    labels: np.ndarray, classes: Sequence[str], named: Sequence[str] = (), where: str = "a label map"
) -> Shown:
    """The classes that a label map shows.

    labels: (H, W) uint8 of class ids, or (256,), the number of pixels of each id. classes: the dataset's classes.
    named: classes that come first, even without a pixel. where: the label map's name in errors. Raises UserError for a
    named class that the dataset does not have.
    """
    counts = labels
    if labels.ndim == 2:
        counts = np.bincount(labels.ravel(), minlength=256)
    ids = ids_by_name(classes)
    for name in named:
        if name not in ids:
            raise UserError(where, f"class '{name}' is not one of the dataset's: {', '.join(classes)}")
    names = tuple(dict.fromkeys([*named, *(name for name, number in ids.items() if counts[number])]))
    total = max(int(counts.sum()), 1)
    areas = {name: round(int(counts[ids[name]]) / total, 6) for name in names}
    return Shown(names, tuple(ids[name] for name in names), areas)
