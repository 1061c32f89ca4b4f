"""`shown_classes`: the classes that a label map shows, and how much of the picture they cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UserError


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
    labels: np.ndarray,
    classes: Sequence[str],
    named: Sequence[str] = (),
    where: str = "a label map",
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
