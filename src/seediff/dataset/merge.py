"""Merges datasets, and renames, joins and removes classes: `seediff merge`. Classes are joined by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import alike_names, reserved_id
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.messages import did_you_mean, show_json
from ..files.reading import real
from ..rows.row import OF_CLASSES, Row
from ..rows.values import ids_by_name
from .class_lists import check_class_list
from .encoding import ReadLabels
from .sample import ATTENTION, Sample, id_table, renumber, renumber_table

Set = tuple[str, Sequence[str], Sequence[Sample]]
"""The name of a set, its classes, and its samples."""
Renames = Mapping[str, str]
"""Class → its new name, which may be that of another class, or mean the background or ignored pixels; "" removes a
class that no mask shows."""
OPTION = "--rename"
RULE = "OLD=NEW; a class leaves by OLD=background or OLD=ignore, and by OLD= if no mask shows it"


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


class RenamedClasses:
    """The classes of a dataset with other names. Two classes that get one name become one class, with the lower score
    of the two. A class whose new name means the background or ignored pixels (`reserved_id`), and is no class of the
    dataset, leaves: its pixels get this id, and its objects go, or become ignored shapes. The ids of later classes move
    down.

    classes: the dataset's. renames: of these classes. Raises UserError for a name that a class cannot have.
    """

    def __init__(self, classes: Sequence[str], renames: Renames) -> None:
        reserved = {old: reserved_id(new) for old, new in renames.items() if new not in classes}
        self.names = {old: new if reserved.get(old) is None else "" for old, new in renames.items()}
        """Old name → new name of a class; "" for a class that leaves."""
        self.classes = tuple(dict.fromkeys(filter(None, (self.names.get(old, old) for old in classes))))
        check_class_list(self.classes, OPTION)
        numbers = ids_by_name(self.classes)
        self.ids = id_table([numbers.get(self.names.get(old, old)) or reserved.get(old) or 0 for old in classes])
        """(256,) uint8: the new id of each old id."""
        self.count = len(classes)
        self.unseen = [number for number, old in enumerate(classes, 1) if renames.get(old) == ""]
        """The old ids of classes that no label map may show."""

    def renamed(self, sample: Sample) -> Sample:
        """A sample of the dataset with these classes. Its attention is left out, because it has the old names. When its
        label map is read, it raises UserError if it shows a class that was removed without saying what its pixels
        become."""
        read = partial(_checked, sample.raw_labels, self.unseen, sample.where)
        same = sample.read_by(read, extras=sample.extras_but(ATTENTION))
        return renumber(same, self.ids, self.count, renamed_row(sample.row, self.names))


def renamed_row(row: Row, names: Renames) -> Row:
    """A row with other class names. names: class → its new name; "" for a class that leaves."""
    flags = [(kind, names.get(name, name), sign) for kind, sign, name in (one.partition(":") for one in row.flag_list)]
    if row.flag_list:
        row = row.replace(
            flags=tuple(dict.fromkeys(kind + sign + name for kind, name, sign in flags if name or not sign))
        )
    values = {key: _renamed(getattr(row, key), names) for key in OF_CLASSES}
    area = values["area"]
    if area is not None:  # classes that are joined show the pixels of all
        sums = defaultdict[str, float](float)
        for name, share in (row.area or {}).items():
            sums[names.get(name, name)] += share
        area = {name: sums[name] for name in area}
    return row.replace(**{**values, "area": area})


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
        fix = "OLD=background or OLD=ignore says what its pixels become"
        raise UserError(where, "its label map shows a class that is to be removed", fix)
    return labels
