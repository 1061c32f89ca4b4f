"""Brings masks that people corrected in another tool back into the set that they came from, and counts the changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.class_names import BACKGROUND
from ..errors import UserError
from ..files.label_maps import IGNORE
from .merge import renumber_table
from .native import open_native
from .reviews import reviewed_as_is
from .rows import OF_THE_MASK, check_class_list, flat_name
from .sample import SOFT, Sample
from .shapes.objects import objects_after

SHOWN = 10


@dataclass(frozen=True)
class Change:
    """The change of a sample's mask."""

    name: str
    pixels: int
    """Number of pixels with a new id."""
    gained: Mapping[str, int]
    """Class → number of pixels that it gained; `background` and `ignored` count as classes."""
    lost: Mapping[str, int]
    """Class → number of pixels that it lost."""


def compare_maps(name: str, before: np.ndarray, after: np.ndarray, classes: Sequence[str]) -> Change:
    """The change between two label maps (H, W) uint8 of ids of `classes`."""
    names = {0: BACKGROUND, IGNORE: "ignored", **dict(enumerate(classes, 1))}
    changed = before != after

    def counted(ids: np.ndarray) -> dict[str, int]:
        return {names[i]: count for i, count in enumerate(np.bincount(ids).tolist()) if count}

    return Change(name, int(changed.sum()), counted(after[changed]), counted(before[changed]))


def correct(
    folder: Path,
    classes: Sequence[str],
    items: Iterable[Sample],
    *,
    by: str,
    accept_unchanged: bool = False,
    tell: Callable[[Change], None] = lambda change: None,
) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """(classes, samples) of a native set, in which the masks of `items` replace those of the samples.

    classes: the classes of the items' ids. They are matched by name, and new ones follow the set's. Samples are matched
    by name, or by the flat name that some formats use. by: who corrected the masks, for `review`. accept_unchanged:
    whether masks that came back as they were count as accepted; tools return them also if nobody looked at them. tell:
    called with each change. Raises UserError for an item that the set does not have, and for a mask of another size
    than its picture.
    """
    own_classes, originals = open_native(folder)
    names = tuple(dict.fromkeys([*own_classes, *classes]))
    check_class_list(names)
    matches = _matched(items, [item.name for item in originals], folder)
    # A set keeps the soft masks of all classes or of none.
    if not all(item.row.review.replaced or item.has_soft() for item in originals):
        originals = [item.replace(extras=item.extras_but(SOFT)) for item in originals]
    table = renumber_table(classes, names)

    def corrected(original: Sample) -> Sample:
        item = matches.get(original.name)
        if item is None:
            return original
        labels = table[item.replace(image=original.source).labels(len(classes))]
        change = compare_maps(original.name, original.labels(len(names)), labels, names)
        tell(change)
        if change.pixels:
            return _relabelled(original, labels, change, by)
        if accept_unchanged or not _same_objects(original, item):
            return _accepted(original, by)
        return original

    return names, map(corrected, originals)


def _relabelled(original: Sample, labels: np.ndarray, change: Change, by: str) -> Sample:
    """The sample with the label map that came back."""
    # Soft masks, too, describe the old mask; flags are about masks that nobody looked at.
    gone = ("classes", "class_ids", "area", *OF_THE_MASK)
    row = {key: value for key, value in original.metadata.items() if key not in gone}
    review = {"verdict": "accepted", "corrected": True, "by": by, "gained": change.gained, "lost": change.lost}
    objects = original.instances
    return original.replace(
        label_map=labels,
        instances=objects and objects_after(objects, original.label_map, labels),
        metadata={**row, "flags": [], "review": review},
        extras=original.extras_but(SOFT),
    )


def _accepted(original: Sample, by: str) -> Sample:
    """The sample with its mask as it is."""
    earlier = original.row.review
    review = {"verdict": "accepted", "corrected": earlier.corrected, "by": by}
    if earlier.made is not None:
        review["made"] = earlier.made
    return original.replace(metadata=reviewed_as_is(original.metadata, review))


def _same_objects(original: Sample, item: Sample) -> bool:
    """Whether two samples of one label map divide it into the same objects, as far as both know them."""
    known = original.instances, item.instances
    if known[0] is None or known[1] is None:
        return True
    one, other = (instances.numbers.ravel().astype(np.int64) for instances in known if instances is not None)
    pairs = len(np.unique(one << 32 | other))
    return pairs == len(np.unique(one)) == len(np.unique(other))


def _matched(items: Iterable[Sample], names: Sequence[str], folder: Path) -> dict[str, Sample]:
    """Sample's name → its item."""
    flat = Counter(map(flat_name, names))
    own = {flat_name(name): name for name in names if flat[flat_name(name)] == 1} | {name: name for name in names}
    matches: dict[str, Sample] = {}
    for item in items:
        where = f"sample '{item.name}'"
        name = own.get(item.name)
        if name is None:
            raise UserError(where, f"is not in {folder}, whose masks are said to be corrected")
        if name in matches:
            raise UserError(where, f"appears twice, once as '{matches[name].name}'")
        matches[name] = item
    return matches


def sum_changes(changes: Iterable[Change]) -> list[str]:
    """A summary in lines for people."""
    changes = list(changes)
    changed = [change for change in changes if change.pixels]
    if not changed:
        return [f"{len(changes)} samples came back, none changed"]
    gained, lost = Counter[str](), Counter[str]()
    for change in changed:
        gained.update(change.gained)
        lost.update(change.lost)
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    listed = ", ".join(change.name for change in changed[:SHOWN])
    pixels = ", ".join(f"{name} +{gained[name]} −{lost[name]}" for name in dict.fromkeys([*gained, *lost]))
    return [f"{len(changes)} samples came back, {len(changed)} changed: {listed}{more}", f"pixels: {pixels}"]
