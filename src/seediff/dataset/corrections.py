"""Brings masks that people corrected in another tool back into the set from which they came, and counts the changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.messages import plural
from .encoding import Instances
from .merge import renumber, renumber_table
from .native import open_native
from .reviews import reviewed_as_is
from .rows import OF_THE_MASK, check_class_list, flat_name
from .sample import SOFT, Sample
from .shapes.objects import Division, compare_division, find_objects, kept_apart, objects_after, take_division

SHOWN = 10
IN_PIECES = ("yolo",)
"""Formats that write each connected piece of an object as an object."""


@dataclass(frozen=True)
class Change:
    """How a sample's mask changed in the tool."""

    name: str
    pixels: int
    """Number of pixels whose id changed."""
    objects: Division = "same"
    """How the tool divided the mask into objects. "divided": in another way, and the sample takes the tool's
    objects. "joined": a mask of the tool covers several objects. It may be a whole class, so the sample keeps its
    own objects."""


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

    folder: the native set. classes: the classes of the items' ids. They are matched with the set's by name, and new
    classes follow the set's. items: samples with the masks that came back. They are matched by name, or by the flat
    name that some formats use. by: who corrected the masks, for `review`. accept_unchanged: whether unchanged masks
    count as accepted. A tool also returns the masks that nobody looked at. tell: called with each change. Raises
    UserError for an item that the set does not have, and for a mask whose size is not its picture's.

    A sample that has objects takes the tool's objects. If a mask of the tool covers several objects, it may be the mask
    of a whole class. The objects then stay apart, unless a picture proves that the tool's masks are objects
    (`kept_apart`).
    """
    own_classes, originals = open_native(folder)
    names = tuple(dict.fromkeys([*own_classes, *classes]))
    check_class_list(names)
    matches = _matched(items, [item.name for item in originals], folder)
    # A set keeps the soft masks of all classes or of none.
    if not all(item.row.review.replaced or item.has_soft() for item in originals):
        originals = [item.replace(extras=item.extras_but(SOFT)) for item in originals]
    table = renumber_table(classes, names)
    returned = [sample for sample in originals if sample.name in matches]

    def item_of(original: Sample) -> Sample:
        return renumber(matches[original.name].replace(image=original.source), table, len(classes))

    @cache
    def proven() -> bool:
        return any(_keeps_apart(original, item_of(original)) for original in returned)

    def corrected(original: Sample) -> Sample:
        if original.name not in matches:
            return original
        item = item_of(original)
        before, after = original.labels(len(names)), item.labels(len(names))
        pixels = int((before != after).sum())
        objects, division = _objects_after(original, item, before, after, proven, by in IN_PIECES)
        tell(Change(original.name, pixels, division))
        if pixels:
            return _relabelled(original, after, objects, division, by)
        if division == "divided":
            return _accepted(original.replace(instances=objects), by)
        if division == "same" and accept_unchanged:
            return _accepted(original, by)
        return original

    return names, map(corrected, originals)


def _keeps_apart(original: Sample, item: Sample) -> bool:
    """Whether the masks of a sample prove that the tool's masks are objects. item: the sample as it came back."""
    known = original.has_objects and item.has_objects
    return known and kept_apart(original.objects(original.label_map), item.objects(item.label_map))


def _objects_after(
    original: Sample, item: Sample, before: np.ndarray, after: np.ndarray, proven: Callable[[], bool], in_pieces: bool
) -> tuple[Instances | None, Division]:
    """(objects, division): the objects of a sample after the tool, and how the tool divided them.

    item: the sample as it came back. before, after: its label maps (H, W) uint8. proven: returns whether a mask that
    covers several objects joins them; this may read all samples. in_pieces: as for `compare_division`.
    """
    own, returned = original.instances, item.instances
    if own is None:
        return None, "same"
    expected = objects_after(own, before, after)
    if returned is None:
        return expected, "same"
    division = compare_division(find_objects(after, 1, expected), find_objects(after, 1, returned), in_pieces)
    if division == "divided" or (division == "joined" and proven()):
        return take_division(expected, returned, after), "divided"
    return expected, division


def _relabelled(original: Sample, labels: np.ndarray, objects: Instances | None, division: Division, by: str) -> Sample:
    """The sample with the label map (H, W) and the objects that came back. It is accepted, unless its division is
    "joined": then its objects are not the tool's."""
    # Soft masks, too, describe the old mask; flags are about masks that nobody looked at.
    gone = ("classes", "class_ids", "area", *OF_THE_MASK)
    row = {key: value for key, value in original.metadata.items() if key not in gone}
    review = {"verdict": "accepted", "corrected": True, "by": by}
    if division == "joined":
        del review["verdict"]
    return original.replace(
        label_map=labels,
        instances=objects,
        metadata={**row, "flags": [], "review": review},
        extras=original.extras_but(SOFT),
    )


def _accepted(original: Sample, by: str) -> Sample:
    """The sample with its mask as it is, accepted by `by`."""
    earlier = original.row.review
    review = {"verdict": "accepted", "corrected": earlier.corrected, "by": by}
    if earlier.made is not None:
        review["made"] = earlier.made
    return original.replace(metadata=reviewed_as_is(original.metadata, review))


def _matched(items: Iterable[Sample], names: Sequence[str], folder: Path) -> dict[str, Sample]:
    """Name of a sample → the item with its mask. names: the samples of the set in `folder`. Raises UserError for an
    item without a sample, and for two items of one sample."""
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
    """The changes summed up in lines for people."""
    changes = list(changes)
    changed = [change.name for change in changes if change.pixels or change.objects == "divided"]
    joined = [change.name for change in changes if change.objects == "joined"]
    lines = [f"{len(changes)} samples came back, none changed"]
    if changed:
        lines = [f"{len(changes)} samples came back, {len(changed)} changed: {_few(changed)}"]
    if joined:
        why = "a mask covers several objects or is a whole class, so that they stay apart"
        lines.append(f"{plural(len(joined), 'sample')} not accepted, because {why}: {_few(joined)}")
    return lines


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
