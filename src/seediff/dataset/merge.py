"""Several native datasets as one: classes joined by name, label maps and soft masks renumbered, samples named apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import native
from .rows import check_class_list
from .sample import Sample
from .store import open_native


@dataclass(frozen=True)
class Merged:
    """What `write_native` takes. left_behind: folders, such as soft/, that only some of the datasets have, or whose ids are another's."""

    classes: tuple[str, ...]
    items: tuple[Sample, ...]
    left_behind: tuple[str, ...]


def merge_datasets(folders: Sequence[Path | str]) -> Merged:
    """The samples of native datasets, one dataset after the other, for `write_native`.

    Classes are those of all, by name, in the order in which they first appear; so the first dataset's ids stay. Where two datasets have a
    sample of one name, every name gets its dataset's folder in front. A row's `origin` says where its sample is from, as `dataset/name`.
    Raises UserError when a folder is named twice, or is no finished dataset.
    """
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise UserError("merge: one folder is named twice; its samples would be in the result twice")
    opened = [open_native(folder) for folder in folders]
    classes = tuple(dict.fromkeys(name for class_names, _ in opened for name in class_names))
    check_class_list(classes)
    labels = set_names(folders)
    kept, left_behind = _extras_of_all(opened, classes)
    names = Counter(item.name for _, items in opened for item in items)
    apart = any(count > 1 for count in names.values())
    merged = []
    for label, (class_names, items) in zip(labels, opened, strict=True):
        ids = renumbering(class_names, classes)
        for item in items:
            extras = {
                (kind, class_id if class_id is None else int(ids[class_id])): path
                for (kind, class_id), path in item.extras.items()
                if kind in kept and (class_id is None or class_id <= len(class_names))
            }
            row = {**item.metadata, "origin": f"{label}/{item.metadata.get('origin', item.name)}"}
            name = f"{label}/{item.name}" if apart else item.name
            merged.append(renumbered(item, ids, len(class_names)).replace(name=name, metadata=row, extras=extras))
    return Merged(classes, tuple(merged), left_behind)


def set_names(folders: Sequence[Path | str]) -> list[str]:
    """What to call each dataset: its folder's name, with a number where another one is called so; without a leading dot."""
    names: list[str] = []
    for folder in folders:
        base = Path(folder).resolve().name.lstrip(".") or "data"
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names.append(name)
    return names


def renumbering(class_names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(256,) uint8: a dataset's ids → the ids in `classes`. 0 and 255 stay."""
    table = np.zeros(256, np.uint8)
    table[1 : len(class_names) + 1] = [list(classes).index(name) + 1 for name in class_names]
    table[native.IGNORE] = native.IGNORE
    return table


def renumbered(item: Sample, ids: np.ndarray, count: int) -> Sample:
    """The item with other ids in its label map, of `count` classes before; as it is where they stay."""
    if np.array_equal(ids[: count + 1], np.arange(count + 1)):
        return item
    return item.replace(label_map=lambda: ids[item.labels(count)])


def _extras_of_all(
    opened: Sequence[tuple[Sequence[str], Sequence[Sample]]], classes: Sequence[str]
) -> tuple[frozenset[str], tuple[str, ...]]:
    """The folders of extras that can come along, and those that cannot: a dataset keeps soft masks and attention of all samples or of none,
    and steps/ holds label maps of its own, whose ids do not change with the others'."""
    present = [{kind for item in items for kind, _ in item.extras} for _, items in opened]
    whole: Mapping[str, bool] = {
        native.SOFT: all(native.SOFT in kinds for kinds in present),
        native.ATTENTION: all(native.ATTENTION in kinds for kinds in present),
        native.STEPS: all(tuple(class_names) == tuple(classes[: len(class_names)]) for class_names, _ in opened),
    }
    any_has = set().union(*present)
    kept = frozenset(kind for kind in any_has if whole[kind])
    return kept, tuple(kind for kind in native.EXTRAS if kind in any_has - kept)
