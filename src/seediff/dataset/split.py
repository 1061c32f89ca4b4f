"""Splits a dataset for training, validation and testing. Each part gets its share of every class.

Samples are sorted by the classes that they show, the rarest first, and then by a hash of their picture and the seed;
each goes to the part that lags most behind its share. Copies of a picture (copies.py) are a group and stay together.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from ..config.fields import check_seed
from ..errors import UserError
from ..files.messages import Note, first_of, no_note, plural, show_counts, show_json
from ..files.outputs import open_folder
from ..rows.values import NO_SPLIT, part_of, unclear_parts
from ..workers import Follow, in_threads
from . import native
from .copies import Appearance, appearance, copy_key, near_pairs
from .sample import Sample
from .writing import replace_rows


def split_samples(
    items: Sequence[Sample],
    classes: Sequence[str],
    shares: Mapping[str, float],
    *,
    by: str | None = None,
    seed: int = 0,
    follow: Follow = iter,
    note: Note = no_note,
) -> list[str]:
    """The part of each item: "train", or a key of `shares`. The order of the items changes nothing.

    classes: without the background. shares: the share of each other part, such as {"val": 0.2, "test": 0.1}. by:
    "folder", or a pattern for names: items whose names have the same folder or match stay in one part. seed: another
    seed gives other parts. follow: wraps the items, to show progress. note: called with lines about copies, about
    parts that the items had, and about classes that a part does not show. Raises UserError for shares or a seed out of
    range, and for a pattern that no name matches.
    """
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(name, f"{share} must be a share of the samples, between 0 and 1")
    if sum(shares.values()) >= 1:
        raise UserError(" and ".join(f"{name} = {shares[name]}" for name in shares), "leave nothing to train on")
    check_seed(seed)
    shares = {"train": 1 - sum(shares.values()), **shares}
    of_names = None if by is None else name_keys([item.name for item in items], by)
    read = list(in_threads(partial(_read, len(classes)), items, follow))
    had = Counter(item.row.split for item in items if item.row.split)
    if had:
        note(f"these parts take the place of those that the samples had: {show_counts(had)}")
    groups = positions_of(copy_key(item, picture.digest) for item, (picture, _) in zip(items, read, strict=True))
    order = sorted(range(len(items)), key=lambda i: read[i][0].digest)
    near = np.array(order, np.int64)[near_pairs([read[i][0].steps for i in order])].tolist()
    copies = {*chain(*near), *chain(*(group for group in groups if len(group) > 1))}
    if of_names is not None:
        groups += positions_of(of_names)
    groups, apart = join_groups(groups, near, len(items), most=int(min(shares.values()) * len(items)))
    if copies:
        note(
            f"{len(copies)} of {len(items)} images are copies, or made of one image: those of an image are in one part"
        )
    if apart:
        series = "copies are apart where they are more than the smallest part holds, like images of a fixed camera"
        note(f"{series}: --by keeps recordings together")
    if of_names is not None:
        note(f"{plural(len({*of_names}), 'group')} by --by {by}: each is in one part")
    total = Counter(chain(*(class_ids for _, class_ids in read)))

    def turn(group: Sequence[int]) -> tuple[list[tuple[int, int]], bytes]:
        shown = sorted((total[one], one) for one in {*chain(*(read[i][1] for i in group))})
        digest = min(read[i][0].digest for i in group)
        return shown or [(len(items) + 1, 0)], hashlib.blake2b(
            digest.encode(), salt=seed.to_bytes(16, "little")
        ).digest()

    parts = [""] * len(items)
    given = dict.fromkeys(shares, 0)
    done = 0
    for group in sorted(groups, key=turn):
        done += len(group)
        part = max(shares, key=lambda part: round(shares[part] * done - given[part], 9))
        given[part] += len(group)
        for i in group:
            parts[i] = part
    for part in shares:
        shown = {*chain(*(class_ids for name, (_, class_ids) in zip(parts, read, strict=True) if name == part))}
        lacking = [f"{classes[i - 1]} ({plural(total[i], 'image')})" for i in sorted(total.keys() - shown)]
        if lacking:
            note(f"{part} shows no {first_of(lacking)}")
    return parts


def _read(classes: int, item: Sample) -> tuple[Appearance, list[int]]:
    """(picture, class_ids): the appearance of a picture, and the classes that its label map shows. classes: the number
    of classes."""
    shown = np.flatnonzero(np.bincount(item.labels(classes).ravel(), minlength=256)[1:255]) + 1
    return appearance(item.image), shown.tolist()


def positions_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """The positions of each key, in the order in which keys first appear: `[b, a, b]` → `[[0, 2], [1]]`."""
    positions: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        positions.setdefault(key, []).append(index)
    return list(positions.values())


def name_keys(names: Sequence[str], by: str) -> list[Hashable]:
    """What each name has in common with others: its folder, or what a pattern finds in it, in its groups if it has
    any. A name without it stands alone. by: "folder", or the pattern. Raises UserError for a pattern that finds nothing
    in any name."""
    try:
        pattern = re.compile("(.+)/" if by == "folder" else by)
    except re.error as error:
        raise UserError("by", f"{by} is neither `folder` nor a pattern: {error}") from error
    matches = [pattern.search(name) for name in names]
    if matches and not any(matches):
        raise UserError(
            "by", f"{by}: no name has one, such as {show_json(names[0])}", "name a pattern, such as 'clip_\\d+'"
        )
    pairs = zip(matches, names, strict=True)
    return [match.groups() or match[0] if match else f"/{name}" for match, name in pairs]


def join_groups(
    groups: Iterable[Sequence[int]], pairs: Iterable[Sequence[int]], count: int, most: int
) -> tuple[list[list[int]], int]:
    """(joined, refused): groups of the positions 0 … count − 1, joined where they share a position; then, in the order
    of the pairs, where a pair has a position in each, unless more than `most` positions would be together. `refused`:
    the number of such pairs."""
    owner = list(range(count))
    sizes = [1] * count

    def join(one: int, other: int, most: int) -> bool:
        first, second = sorted((first_of(one), first_of(other)))
        if first != second:
            if sizes[first] + sizes[second] > most:
                return False
            owner[second] = first
            sizes[first] += sizes[second]
        return True

    def first_of(position: int) -> int:
        while owner[position] != position:
            owner[position] = owner[owner[position]]
            position = owner[position]
        return position

    for start, *others in groups:
        for other in others:
            join(start, other, count)
    refused = sum(not join(one, other, most) for one, other in pairs)
    return positions_of(map(first_of, range(count))), refused


def set_splits(folder: Path, parts: Mapping[str, str]) -> None:
    """Writes `split` into the rows of the native dataset `folder`. parts: name of each sample → its part. Raises
    UserError if the dataset has other samples by now."""
    native.check_native(folder)
    with open_folder(folder):
        rows = {row.sample: row for row in native.read_rows(folder)}
        if rows.keys() != parts.keys():
            raise UserError(folder, "its samples have changed since they were read", "run the same command again")
        replace_rows(folder, [row.replace(split=parts[name]) for name, row in rows.items()], parts=True)


def assign_splits(
    items: Sequence[Sample],
    classes: Sequence[str],
    share: float | None,
    seed: int = 0,
    *,
    follow: Follow = iter,
    note: Note = no_note,
) -> list[str]:
    """The split of each sample, one of SPLITS. share: the share of samples in [0, 1] that go to "val"; the others go to
    "train". None keeps the `split` of each row. classes, seed, follow, note: as for `split_samples`. Raises
    UserError."""
    if share is None:
        parts = [item.row.part for item in items]
        for part, count in unclear_parts(parts).items():
            note(f"part {show_json(part)} of {plural(count, 'sample')} {NO_SPLIT}: it goes into train")
        return [part_of(part) or "train" for part in parts]
    if share in (0, 1):
        part = "val" if share else "train"
        return [part for _ in items]
    return split_samples(items, classes, {"val": share}, seed=seed, follow=follow, note=note)
