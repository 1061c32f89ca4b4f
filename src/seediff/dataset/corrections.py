"""Brings masks that people corrected in another tool back into the set that they came from, and counts the changes.

A sample of the set keeps its picture and its row. The `review` in the row of a returned sample gives the verdict,
whether its mask is a corrected one, and how many pixels each class gained and lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.names import BACKGROUND
from ..errors import UserError
from ..masks.flags import degenerate
from . import native
from .reviews import is_corrected, is_made, is_replaced
from .rows import OF_THE_MASK, check_class_list, flat_name, shown_classes
from .sample import Sample
from .shapes.following import follow
from .store import open_native

SHOWN = 10
"""Maximum number of sample names in a line."""
IGNORED = "ignored"
"""The name of id 255 among the classes that gained and lost pixels."""


@dataclass(frozen=True)
class Change:
    """The change of a sample's mask. pixels: the number of pixels with a new id. gained, lost: pixels per class,
    `background` and `ignored` included; empty if nothing changed."""

    name: str
    pixels: int
    gained: Mapping[str, int]
    lost: Mapping[str, int]


def compare_maps(name: str, before: np.ndarray, after: np.ndarray, classes: Sequence[str]) -> Change:
    """The change between two label maps (H, W) uint8 whose ids are those of `classes`."""
    names = {0: BACKGROUND, native.IGNORE: IGNORED, **dict(enumerate(classes, 1))}
    other = before != after

    def counted(labels: np.ndarray) -> dict[str, int]:
        counts = np.bincount(labels[other], minlength=256)
        return {names[number]: int(counts[number]) for number in np.flatnonzero(counts).tolist()}

    return Change(name, int(other.sum()), counted(after), counted(before))


def correct(
    folder: Path | str,
    classes: Sequence[str],
    items: Iterable[Sample],
    *,
    by: str,
    tell: Callable[[Change], None] = lambda change: None,
) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """The classes of a native set and its samples in their order, with their masks replaced by those of `items`.

    classes: those of the items' ids; they are matched by name, and new ones follow the set's. Samples are matched by
    name, or by the flat name that some formats use; samples without an item stay as they are. by: the person who
    corrected, for `review`. tell: called with the change of each returned sample when the iterator reaches it. Raises
    UserError for an item that the set does not have, and for a mask of another size than its picture.
    """
    folder = Path(folder)
    own_classes, originals = _opened(folder)
    names = (*own_classes, *(name for name in classes if name not in own_classes))
    check_class_list(names)
    table = np.arange(256, dtype=np.uint8)
    table[1 : len(classes) + 1] = [names.index(name) + 1 for name in classes]
    matches = _matched(items, [item.name for item in originals], folder)

    def corrected() -> Iterator[Sample]:
        for original in originals:
            item = matches.get(original.name)
            yield original if item is None else _corrected(original, item, table, len(classes), names, by, tell)

    return names, corrected()


def _opened(folder: Path) -> tuple[tuple[str, ...], list[Sample]]:
    """The classes and samples of a set. If a sample with its original mask lacks the soft mask of a class, all soft
    masks are left out, because a set keeps those of all classes or of none."""
    classes, items = open_native(folder)
    as_made = [item for item in items if not is_replaced(item.metadata)]
    if all((native.SOFT, number) in item.extras for item in as_made for number in item.metadata.get("class_ids", ())):
        return classes, items
    return classes, [
        item.replace(extras={key: path for key, path in item.extras.items() if key[0] != native.SOFT}) for item in items
    ]


def _matched(items: Iterable[Sample], names: Sequence[str], folder: Path) -> dict[str, Sample]:
    """Sample name → its item, for samples that have one."""
    flat = Counter(flat_name(name) for name in names)
    known = {
        **{flat_name(name): name for name in names if flat[flat_name(name)] == 1},
        **{name: name for name in names},
    }
    matches: dict[str, Sample] = {}
    for item in items:
        if item.name not in known:
            raise UserError(f"sample '{item.name}': is none of {folder}, whose masks are said to be corrected")
        if known[item.name] in matches:
            raise UserError(f"sample '{item.name}': is there twice, once as '{matches[known[item.name]].name}'")
        matches[known[item.name]] = item
    return matches


def _corrected(
    original: Sample,
    item: Sample,
    table: np.ndarray,
    count: int,
    names: Sequence[str],
    by: str,
    tell: Callable[[Change], None],
) -> Sample:
    """The original with the item's mask. If the mask changed, facts about the old mask are removed from the row."""
    before = original.labels(len(names))
    after = table[item.replace(image=original.source).labels(count)]
    change = compare_maps(original.name, before, after, names)
    tell(change)
    review = {
        "verdict": "accepted",
        "corrected": bool(change.pixels) or is_corrected(original.metadata),
        "by": by,
    }
    if not change.pixels:
        made = {"made": original.metadata["review"]["made"]} if is_made(original.metadata) else {}
        return original.replace(metadata={**original.metadata, "review": {**review, **made}})
    review |= {"gained": dict(change.gained), "lost": dict(change.lost)}
    present = original.instances
    seen = shown_classes(after, names)["area"]
    gone = ("classes", "class_ids", "area", *OF_THE_MASK)  # they describe the old mask, and so do soft masks
    row = {key: value for key, value in original.metadata.items() if key not in gone}
    return original.replace(
        label_map=after,
        instances=follow(present, before, after) if present else None,
        metadata={**row, "flags": degenerate(seen), "review": review},
        extras={key: path for key, path in original.extras.items() if key[0] != native.SOFT},
    )


def sum_changes(changes: Iterable[Change]) -> list[str]:
    """A summary in lines for people: the number of returned samples, which of them changed, and the pixels gained and
    lost per class.
    """
    changes = list(changes)
    other = [change for change in changes if change.pixels]
    if not other:
        return [f"{len(changes)} samples reviewed, none changed"]
    gained, lost = Counter[str](), Counter[str]()
    for change in other:
        gained.update(change.gained)
        lost.update(change.lost)
    more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
    listed = ", ".join(change.name for change in other[:SHOWN]) + more
    pixels = [f"{name} +{gained[name]} −{lost[name]}" for name in dict.fromkeys([*gained, *lost])]
    return [f"{len(changes)} samples reviewed, {len(other)} changed: {listed}", f"pixels: {', '.join(pixels)}"]
