"""Renames, joins and removes classes: `seediff merge --rename`, and renames in review.jsonl whenever a set is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from msgspec import UNSET, UnsetType

from ..config.class_names import check_meaning
from ..errors import UserError
from ..files.messages import did_you_mean, plural, show_json
from ..rows.row import LISTED, Row
from ..rows.shown import ids_by_name
from . import native
from .encoding import ReadLabels
from .merge import renumber
from .names import check_class_list
from .reviews import REVIEWS, class_names, read_actions
from .sample import CONFIGS, SOFT, Extras, Sample, soft_of_all

T = TypeVar("T")
Renames = Mapping[str, str]
"""Class → its new name, which may be that of another class; "" removes the class."""
OPTION = "--rename"
RULE = "OLD=NEW, or OLD= to remove a class that no mask shows"


def read_renames(texts: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The renames that texts such as `car=Car` and `dog2=` stand for. known: the classes. Raises UserError for a text
    that names none of them, and for one that renames a class again."""
    renames: dict[str, str] = {}
    for text in texts:
        old, sign, new = text.rpartition("=")
        if not sign:
            raise UserError(OPTION, f"{show_json(text)} gives no new name", RULE)
        if old not in known:
            problem = f"{show_json(text)} names no class{did_you_mean(old, known)}"
            raise UserError(OPTION, problem, RULE)
        if old in renames:
            raise UserError(OPTION, f"renames {show_json(old)} twice")
        renames[old] = new.strip()
    return renames


def rename_classes(
    classes: Sequence[str], samples: Sequence[Sample], renames: Renames, where: str = OPTION
) -> tuple[tuple[str, ...], list[Sample]]:
    """(classes, samples) with other names. Two classes that get one name become one class, with the worse score of the
    two (for presence, the higher one). The ids of later classes move down. Attention and steps are left out, because
    they have the old names. So are all soft masks if a sample shows joined classes.

    classes, samples: of a dataset. renames: of these classes. where: who asks for them, in errors. Raises UserError for
    a class that the dataset lacks, for a name that a class cannot have, and for a removed class that a sample shows,
    perhaps only when its label map is read.
    """
    for name in renames:
        if name not in classes:
            problem = f"{show_json(name)} names no class{did_you_mean(name, classes)}"
            raise UserError(where, problem, RULE)
    names = [renames.get(name, name) for name in classes]
    kept = tuple(dict.fromkeys(filter(None, names)))
    check_meaning((name for name in kept if name not in classes), where)
    check_class_list(kept, where)
    removed = [name for name, new in zip(classes, names, strict=True) if not new]
    used = Counter(name for name in shown_in(samples) if name in removed)
    if used:
        name, count = next(iter(used.items()))
        raise UserError(where, f"{show_json(name)} is in {plural(count, 'mask')}", "rename it, or relabel these masks")
    numbers = ids_by_name(kept)
    ids = native.dataset_labels(np.arange(256, dtype=np.uint8), [numbers.get(name, 0) for name in names])
    new_names = dict(zip(classes, names, strict=True))
    return kept, soft_of_all([_renamed(sample, new_names, ids) for sample in samples])


def open_set(folder: Path | str) -> tuple[tuple[str, ...], list[Sample]]:
    """(classes, samples) of a native dataset as people left it: with their decisions about samples, as from
    `open_native`, and about classes. Raises UserError as `open_native` does."""
    actions = read_actions(Path(folder))
    classes, samples = native.open_native(folder, actions=actions)
    names = class_names(classes, actions, {*shown_in(samples)})
    if tuple(names.values()) == classes:
        return classes, samples
    return rename_classes(classes, samples, names, REVIEWS)


def shown_in(samples: Iterable[Sample]) -> Iterator[str]:
    """The classes that each sample shows, one sample after another."""
    return (name for sample in samples for name in sample.row.shown)


def _renamed(sample: Sample, names: Renames, ids: np.ndarray) -> Sample:
    """A sample with other class names. names: class → its new name. ids: (256,) uint8, the new id of each old id."""
    row, count, removed_ids = renamed_row(sample.row, names, ids), len(names), removed_in(names)
    kept = [name for name in sample.row.named if names.get(name, name)]
    extras: Extras = {}
    for (kind, class_id), path in sample.extras.items():
        if kind == CONFIGS or (kind == SOFT and class_id not in removed_ids and len(row.named) == len({*kept})):
            extras[kind, class_id and int(ids[class_id])] = path
    label_map = partial(_checked, sample.unchecked_labels, removed_ids, sample.where)
    checked = sample.replace(label_map=label_map) if removed_ids else sample
    return renumber(checked, ids, count).replace(row=row, extras=extras)


def renamed_row(row: Row, names: Renames, ids: np.ndarray) -> Row:
    """A row with other class names. names, ids: as for `_renamed`."""
    named = filter(None, (names.get(name, name) for name in row.named))
    class_ids = row.class_ids
    if class_ids is not UNSET:
        removed_ids = removed_in(names)
        class_ids = tuple(dict.fromkeys(int(ids[one]) for one in class_ids if one not in removed_ids))
    removed = {name for name, new in names.items() if not new}
    kinds = [flag.partition(":") for flag in row.raised]
    flags = [kind + sign + names.get(name, name) for kind, sign, name in kinds if name not in removed]
    scores = {
        key: _mapped(getattr(row, key), partial(_joined, names=names, join=listed.worst_of))
        for key, listed in LISTED.items()
    }
    return row.replace(
        classes=_mapped(row.classes, lambda _: tuple(dict.fromkeys(named))),
        class_ids=class_ids,
        flags=_mapped(row.flags, lambda _: tuple(dict.fromkeys(flags))),
        asked=_mapped(row.asked, lambda old: tuple(dict.fromkeys(filter(None, (names.get(one, one) for one in old))))),
        area=_mapped(row.area, lambda old: _joined(old, names, sum)),
        presence=_mapped(row.presence, lambda old: _joined(old, names, max)),
        **scores,
    )


def removed_in(names: Renames) -> list[int]:
    """The ids of the classes that have no new name. names: class → its new name, in the order of their ids."""
    return [number for number, new in enumerate(names.values(), 1) if not new]


def _mapped(value: T | UnsetType | None, change: Callable[[T], Any]) -> Any:
    return value if value is UNSET or value is None else change(value)


def _joined(values: Mapping[str, float], names: Renames, join: Callable[[list[float]], float]) -> dict[str, float]:
    """Values of classes by their new names, without removed classes. join: makes one of the values of classes that
    become one."""
    found: dict[str, list[float]] = {}
    for name, value in values.items():
        found.setdefault(names.get(name, name), []).append(value)
    return {name: join(some) for name, some in found.items() if name}


def _checked(read: ReadLabels, removed: Sequence[int], where: str) -> np.ndarray:
    """The label map (H, W) uint8, which shows none of the ids `removed`. Raises UserError."""
    labels = read()
    if np.isin(labels, removed).any():
        raise UserError(where, "its label map shows a class that is to be removed", "rename the class, or relabel it")
    return labels
