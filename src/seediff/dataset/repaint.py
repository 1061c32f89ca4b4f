"""The two ways in which the pixels of a sample change: `renumber`, by a table of ids, and `repainted`, by another mask
that takes the place of its own. Row, objects and files follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..files.label_maps import IGNORE
from ..rows.row import Row
from ..rows.shown import ids_by_name
from .encoding import ReadLabels
from .sample import EXTRAS, SOFT, Sample
from .shapes.changes import objects_after
from .shapes.objects import Objects


def id_table(new_ids: Sequence[int]) -> np.ndarray:
    """(256,) uint8: the new id of each old id. new_ids: those of the old ids 1, 2, …. 0 and 255 stay."""
    table = np.zeros(256, np.uint8)
    table[1 : len(new_ids) + 1] = new_ids
    table[IGNORE] = IGNORE
    return table


def renumber_table(class_names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The `id_table` from the ids of `class_names` to those of `classes`, which has all of these names."""
    ids = ids_by_name(classes)
    return id_table([ids[name] for name in class_names])


def renumber(sample: Sample, ids: np.ndarray, classes: int, row: Row | None = None) -> Sample:
    """The sample with new ids in its label map, objects and row. Soft masks and attention stay only if no id changes.
    ids: (256,) uint8, the new id of each old id. classes: the number of classes of the sample's set. row: the row, with
    old ids; None: the sample's."""
    row = sample.row if row is None else row
    if np.array_equal(ids[: classes + 1], np.arange(classes + 1)):
        return sample.replace(row=row)
    if row.class_ids is not None:
        row = row.replace(class_ids=tuple(dict.fromkeys(int(ids[one]) for one in row.class_ids if ids[one])))
    read = partial(_renumbered, sample, ids, classes)
    instances = partial(_renumbered_instances, sample, ids) if sample.has_objects else None
    return sample.replace(label_map=read, instances=instances, row=row, extras=sample.extras_but(*EXTRAS))


def _renumbered(sample: Sample, ids: np.ndarray, classes: int) -> np.ndarray:
    return ids[sample.labels(classes)]


def _renumbered_instances(sample: Sample, ids: np.ndarray) -> Objects:
    instances = sample.instances
    assert instances is not None
    renumbered = replace(instances, class_ids=tuple(ids[list(instances.class_ids)].tolist()))
    return renumbered.take([i for i, class_id in enumerate(renumbered.class_ids) if class_id])


def repainted(sample: Sample, labels: np.ndarray | ReadLabels, row: Row) -> Sample:
    """The sample after another mask has taken the place of its own. Its objects follow (`objects_after`), and its soft
    masks go. What tells how the old mask was made stays: attention and configuration.

    labels: the new label map (H, W) uint8, or a function that reads it. row: made by `Row.of_other_mask`.
    """
    after = sample.replace(label_map=labels, instances=None, row=row, extras=sample.extras_but(SOFT))
    if not sample.has_objects:
        return after
    return after.replace(instances=partial(_objects_after, sample, after.unchecked_labels))


def _objects_after(sample: Sample, read: ReadLabels) -> Objects:
    """The objects of a sample in another label map. sample: as it was. read: reads the label map."""
    instances = sample.instances
    assert instances is not None
    return objects_after(instances, sample.label_map, read(), f"sample '{sample.name}'")
