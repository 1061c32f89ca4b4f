"""Merges datasets: joins classes by name, and renumbers label maps, soft masks and objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, count
from pathlib import Path

import numpy as np

from ..config.class_names import alike_names
from ..files.label_maps import IGNORE
from ..files.reading import real
from ..rows.row import Row
from ..rows.shown import ids_by_name
from . import native
from .names import check_class_list
from .sample import Sample
from .shapes.changes import objects_after
from .shapes.objects import Objects

Set = tuple[str, Sequence[str], Sequence[Sample]]
"""The name of a set, its classes, and its samples."""


def merge_sets(
    sets: Sequence[Set],
    *,
    ignore_background: bool = False,
) -> tuple[tuple[str, ...], list[Sample], list[str]]:
    """(classes, samples, notes) of several sets as one. `notes`: lines about classes that a set lacks.
    ignore_background: the background of such a set becomes 255, because it may show these classes.

    Classes are joined by name, in the order in which they first appear. If two samples have one name, all samples get
    their set's name before their own. The key `origin` of a row says where the sample came from, as `set/name`.
    """
    classes = tuple(dict.fromkeys(chain(*(class_names for _, class_names, _ in sets))))
    check_class_list(classes)
    names = [sample.name for sample in chain(*(samples for _, _, samples in sets))]
    are_unique = len({*names}) == len(names)
    merged = []
    for set_name, class_names, samples in sets:
        ids = renumber_table(class_names, classes)
        if ignore_background and missing_classes(class_names, classes):
            ids[0] = IGNORE
        for sample in samples:
            row = sample.row.replace(origin=f"{set_name}/{sample.row.origin or sample.name}")
            name = sample.name if are_unique else f"{set_name}/{sample.name}"
            merged.append(renumber(sample, ids, len(class_names), row=row).replace(name=name))
    fate = "its background is ignored (255)" if ignore_background else ""
    notes = chain(*(missing_notes(name, class_names, classes, fate) for name, class_names, _ in sets))
    return classes, merged, [*notes, *alike_names(classes)]


def missing_classes(class_names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The classes that a set with the classes `class_names` cannot label."""
    return [name for name in classes if name not in class_names]


def missing_notes(where: object, class_names: Sequence[str], classes: Sequence[str], fate: str = "") -> list[str]:
    """A line about the classes that a set lacks, if it lacks any. where: its name. fate: what is done about it; "":
    nothing."""
    missing = missing_classes(class_names, classes)
    if not missing:
        return []
    fate = fate or "there they are background, unless `seediff merge --ignore-background` joins the sets"
    return [f"{where} never labels {', '.join(missing)}: {fate}"]


def set_names(folders: Sequence[Path | str]) -> list[str]:
    """A unique name for each set: its folder's name without dots at the beginning. A second `pets` becomes `pets-2`."""
    names: list[str] = []
    for folder in folders:
        base = real(folder).name.lstrip(".") or "data"
        numbered = (f"{base}-{number}" for number in count(2))
        names.append(next(name for name in chain([base], numbered) if name not in names))
    return names


def renumber_table(class_names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(256,) uint8: the new id of each old id. 0 and 255 stay. class_names: the classes of the old ids 1, 2, ….
    classes: those of the new ids."""
    ids = ids_by_name(classes)
    return native.dataset_labels(np.arange(256, dtype=np.uint8), [ids[name] for name in class_names])


def renumber(sample: Sample, ids: np.ndarray, classes: int, row: Row | None = None) -> Sample:
    """The sample with new ids in its label map, objects and row. Optional files stay only if no id changes. ids: (256,)
    uint8, the new id of each old id. classes: the number of classes of the sample's set. row: the row, with old ids;
    None: the sample's."""
    row = sample.row if row is None else row
    if np.array_equal(ids[: classes + 1], np.arange(classes + 1)):
        return sample.replace(row=row)
    if row.class_ids is not None:
        row = row.replace(class_ids=tuple(dict.fromkeys(int(ids[one]) for one in row.class_ids if ids[one])))
    read = partial(_renumbered, sample, ids, classes)
    instances = partial(_renumbered_instances, sample, ids) if sample.has_objects else None
    return sample.replace(label_map=read, instances=instances, row=row, extras=sample.extras_but(*native.EXTRAS))


def _renumbered(sample: Sample, ids: np.ndarray, classes: int) -> np.ndarray:
    return ids[sample.labels(classes)]


def _renumbered_instances(sample: Sample, ids: np.ndarray) -> Objects:
    instances = sample.instances
    assert instances is not None
    renumbered = replace(instances, class_ids=tuple(ids[list(instances.class_ids)].tolist()))
    return renumbered.take([i for i, class_id in enumerate(renumbered.class_ids) if class_id])


def repainted(sample: Sample, classes: int, change: Callable[[np.ndarray], np.ndarray], row: Row) -> Sample:
    """The sample with the label map that `change` makes of its own; its objects follow, and its optional files go. row:
    the new row. classes: the number of classes."""
    objects = partial(_repainted_instances, sample, change) if sample.has_objects else None
    read = partial(_repainted, sample, classes, change)
    return Sample(sample.source, read, objects, row, name=sample.name, lost=sample.lost)


def _repainted(sample: Sample, classes: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return change(sample.labels(classes))


def _repainted_instances(sample: Sample, change: Callable[[np.ndarray], np.ndarray]) -> Objects:
    instances, before = sample.instances, sample.label_map
    assert instances is not None
    return objects_after(instances, before, change(before), f"sample '{sample.name}'")
