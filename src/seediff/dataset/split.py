"""Splits a dataset for training, validation and testing. Each part gets its share of every class.

Samples of rare classes are assigned first, as in iterative stratification (Sechidis et al., ECML 2011). A sample goes
to the part that lacks most of what it shows. Pictures with the same pixels stay together, and so do pictures that
`augment` or Roboflow made of one picture.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..files.image_files import stored_bytes
from ..files.messages import plural, show_json
from ..files.outputs import open_folder, write_atomic
from ..rows.parts import NO_SPLIT, part_of, unclear_parts
from ..workers import Follow, in_threads
from . import native
from .class_lists import Note, no_note
from .sample import Sample

ROUNDING = 1e-6
"""The largest rounding error in numbers of samples."""
ROBOFLOW_COPY = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{16,}")
"""The name of a copy that Roboflow made of a picture. The group is the picture's name."""


def split_samples(
    items: Sequence[Sample],
    classes: Sequence[str],
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    follow: Follow = iter,
    note: Note = no_note,
) -> list[str]:
    """The part of each item: "train", or a key of `shares`. The order of the items changes nothing.

    classes: without the background. shares: the share of each other part, such as {"val": 0.2, "test": 0.1}. seed:
    another seed gives other parts. follow: wraps the items, to show progress. note: called with a line about copies.
    Raises UserError for shares or a seed out of range.
    """
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(name, f"{share} must be a share of the samples, between 0 and 1")
    if sum(shares.values()) >= 1:
        raise UserError(" and ".join(f"{name} = {shares[name]}" for name in shares), "leave nothing to train on")
    check_seed(seed)
    shares = {"train": 1 - sum(shares.values()), **shares}
    salt = seed.to_bytes(hashlib.blake2b.SALT_SIZE, "little")
    read = list(in_threads(partial(_read, salt, len(classes)), items, follow))
    groups = group_copies(items, [one.pixels for one in read])
    copies = sum(len(group) for group in groups if len(group) > 1)
    if copies:
        note(f"{copies} of {len(items)} images are copies, or made of one image: those of an image are in one part")
    groups.sort(key=lambda group: min(read[i].order for i in group))
    counted = [Group(len(group), Counter(chain(*(read[i].class_ids for i in group)))) for group in groups]
    parts = [""] * len(items)
    for group, part in zip(groups, deal(counted, list(shares.values())), strict=True):
        for i in group:
            parts[i] = list(shares)[part]
    return parts


class _Read(NamedTuple):
    """What decides to which part a sample goes."""

    order: bytes
    """A hash of the picture's bytes and the seed. Samples are sorted by it."""
    pixels: str
    """`pixel_digest` of the picture."""
    class_ids: list[int]
    """The classes in the label map."""


def _read(salt: bytes, classes: int, item: Sample) -> _Read:
    """What decides about a sample. salt: the seed. classes: the number of classes."""
    shown = np.flatnonzero(np.bincount(item.labels(classes).ravel(), minlength=256)[1:255]) + 1
    digest = hashlib.blake2b(stored_bytes(item.image_file), salt=salt).digest()
    return _Read(digest, pixel_digest(item.image), shown.tolist())


def pixel_digest(image: np.ndarray) -> str:
    """A digest of a picture's pixels, (H, W, 3) uint8. It does not depend on the format of the file."""
    return hashlib.blake2b(image.tobytes(), digest_size=16, key=repr(image.shape).encode()).hexdigest()


def group_copies(items: Sequence[Sample], digests: Sequence[str]) -> list[list[int]]:
    """The samples in groups of copies: lists of positions in `items`. Two samples are in one group if

    - their pictures have the same pixels,
    - `augment` made one picture of the other, or both of a third (a splice counts as made of its first picture),
    - or Roboflow made both pictures of one.

    digests: the `pixel_digest` of each sample's picture.
    """
    owners: dict[str, int] = {}  # what samples may have in common → the first sample that has it
    joined: list[tuple[int, int]] = []
    for position, (item, digest) in enumerate(zip(items, digests, strict=True)):
        keys = [digest, *filter(None, [item.row.pixels])]
        copy = ROBOFLOW_COPY.fullmatch(item.name.rpartition("/")[2])
        if copy:
            keys.append(f"Roboflow {copy[1]}")
        joined += [(position, owners.setdefault(key, position)) for key in keys]
    return positions_of(_connected(joined, len(items)))


def _connected(pairs: Sequence[tuple[int, int]], count: int) -> list[int]:
    """(count,): the number of the group of each position, from 0. pairs: two positions that are in one group, each.
    count: the number of positions."""
    from scipy.sparse import coo_array, csgraph  # late: it takes a quarter of a second

    if not pairs:
        return []
    graph = coo_array((np.ones(len(pairs)), np.transpose(pairs)), (count, count))
    return csgraph.connected_components(graph, directed=False)[1].tolist()


def positions_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """The positions of each key, in the order in which keys first appear: `[b, a, b]` → `[[0, 2], [1]]`."""
    positions: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        positions.setdefault(key, []).append(index)
    return list(positions.values())


class Group(NamedTuple):
    """Samples that must be in one part."""

    count: int
    by_class: Mapping[int, int]
    """Class id → number of the samples that show the class."""


def deal(groups: Sequence[Group], shares: Sequence[float]) -> list[int]:
    """The index of each group's part. shares: the share of the samples for each part; their sum is 1.

    Groups with the rarest class are dealt first: large groups before small groups, and then groups with many classes
    before groups with few. A group goes to the part that lacks most of its classes and of samples; if several parts
    lack equally much, to the largest. A part without room for half of the group gets it only if all parts are full.
    """
    samples, total = sum(group.count for group in groups), Counter[int]()
    for group in groups:
        total.update(group.by_class)
    rank = {class_id: number for number, class_id in enumerate(sorted(total, key=lambda i: (total[i], i)))}

    def turn(i: int) -> tuple[int, int, int]:
        count, by_class = groups[i]
        return min(map(rank.__getitem__, by_class), default=len(rank)), -count, -len(by_class)

    # What each part still lacks, as a share of its due: of each class, and of all samples.
    lacks, room = {class_id: np.ones(len(shares)) for class_id in total}, np.ones(len(shares))
    parts = [0] * len(groups)
    for i in sorted(range(len(groups)), key=turn):
        count, by_class = groups[i]
        lacking = sum((lacks[class_id] for class_id in by_class), np.zeros(len(shares))) + room
        full = room * shares * samples < count / 2 - ROUNDING
        if not full.all():
            lacking[full] = -np.inf
        # Rounded, so that parts that lack equally much are equal in floating point, too. The larger part then wins.
        part = parts[i] = int(np.lexsort([-np.array(shares), -np.round(lacking, 9)])[0])
        room[part] -= count / (shares[part] * samples)
        for class_id, showing in by_class.items():
            lacks[class_id][part] -= showing / (shares[part] * total[class_id])
    return parts


def set_splits(folder: Path, parts: Mapping[str, str]) -> None:
    """Writes `split` into the rows of the native dataset `folder`. parts: name of each sample → its part. Raises
    UserError if the dataset has other samples by now."""
    with open_folder(folder):
        rows = {row.sample: row for row in native.read_rows(folder)}
        if rows.keys() != parts.keys():
            raise UserError(folder, "its samples have changed since they were read", "run the same command again")
        new = [row.replace(split=parts[name]) for name, row in rows.items()]
        write_atomic(folder / native.METADATA, native.jsonl(new))


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
    if not 0 <= share <= 1:
        raise UserError("split", f"{share} must be the share of samples for validation, in [0, 1]")
    if share in (0, 1):
        return [("train", "val")[int(share)]] * len(items)
    return split_samples(items, classes, {"val": share}, seed=seed, follow=follow, note=note)


def check_seed(seed: int) -> None:
    """Raises UserError for a seed that is out of range."""
    if not 0 <= seed < 2**63:
        raise UserError("seed", f"{seed} must be in [0, 2^63)")
