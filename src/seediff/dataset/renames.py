"""Renames, joins and removes classes: `seediff merge --rename`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..config.class_names import check_meaning
from ..errors import UserError
from ..files.messages import did_you_mean, show_json
from ..rows.row import OF_CLASSES, Row
from ..rows.shown import ids_by_name
from . import native
from .encoding import ReadLabels
from .merge import renumber
from .names import check_class_list
from .sample import Sample

Renames = Mapping[str, str]
"""Class → its new name, which may be that of another class; "" removes the class."""
OPTION = "--rename"
RULE = "OLD=NEW, or OLD= to remove a class that no mask shows"


def read_renames(texts: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The renames that texts such as `car=Car` and `dog2=` stand for. known: the classes. Raises UserError for a text
    that names none of them."""
    renames: dict[str, str] = {}
    for text in texts:
        old, sign, new = text.rpartition("=")
        if not sign or old not in known:
            raise UserError(OPTION, f"{show_json(text)} names no class{did_you_mean(old or text, known)}", RULE)
        renames[old] = new.strip()
    return renames


def rename_classes(
    classes: Sequence[str], samples: Sequence[Sample], renames: Renames
) -> tuple[tuple[str, ...], list[Sample]]:
    """(classes, samples) with other names. Two classes that get one name become one class, with the lower score of the
    two. The ids of later classes move down. Optional files are left out, because they have the old names or ids.

    classes, samples: of a dataset. renames: of these classes. Raises UserError for a name that a class cannot have and,
    when its label map is read, for a sample that shows a removed class.
    """
    names = [renames.get(name, name) for name in classes]
    kept = tuple(dict.fromkeys(filter(None, names)))
    check_meaning((name for name in kept if name not in classes), OPTION)
    check_class_list(kept, OPTION)
    numbers, new_names = ids_by_name(kept), dict(zip(classes, names, strict=True))
    ids = native.dataset_labels(np.arange(256, dtype=np.uint8), [numbers.get(name, 0) for name in names])
    removed = [number for number, name in enumerate(names, 1) if not name]

    def renamed(sample: Sample) -> Sample:
        read = partial(_checked, sample.unchecked_labels, removed, sample.where)
        same = sample.replace(label_map=read, extras=sample.extras_but(*native.EXTRAS))
        return renumber(same, ids, len(classes), renamed_row(sample.row, new_names))

    return kept, [*map(renamed, samples)]


def renamed_row(row: Row, names: Renames) -> Row:
    """A row with other class names. names: class → its new name."""
    flags = [(kind, names.get(name, name), sign) for kind, sign, name in (one.partition(":") for one in row.raised)]
    if row.raised:
        row = row.replace(
            flags=tuple(dict.fromkeys(kind + sign + name for kind, name, sign in flags if name or not sign))
        )
    return row.replace(**{key: _renamed(getattr(row, key), names) for key in OF_CLASSES})


def _renamed(value: Any, names: Renames) -> Any:
    """Names of classes, or values of classes by their names, with other names."""
    if isinstance(value, tuple):
        return tuple(dict.fromkeys(filter(None, (names.get(name, name) for name in value))))
    if not isinstance(value, dict):
        return value
    pairs = sorted(((names.get(name, name), one) for name, one in value.items()), key=lambda pair: -pair[1])
    return {name: one for name, one in pairs if name}  # of two, the lower stays


def _checked(read: ReadLabels, removed: Sequence[int], where: str) -> np.ndarray:
    """The label map (H, W) uint8, which shows none of the ids `removed`. Raises UserError."""
    labels = read()
    if np.isin(labels, removed).any():
        raise UserError(where, "its label map shows a class that is to be removed", "rename the class, or relabel it")
    return labels
