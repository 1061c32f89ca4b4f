"""Splits a dataset for training, validation and testing: each part gets its share of every class, and pictures that
belong together stay together.

Samples of rare classes are assigned first, as in iterative stratification (Sechidis et al., ECML 2011), to the part
that lacks most of what they show. Pictures with the same pixels belong together, and so do those that `augment` or
Roboflow made of one picture.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.image_files import stored_bytes
from ..files.output_folders import open_folder
from ..files.outputs import write_atomic
from ..workers import Follow, in_threads
from . import native
from .sample import Sample

ROUNDING = 1e-6
ROBOFLOW = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{16,}")
"""The name of a copy that Roboflow made; the group is the name of its source."""
Note = Callable[[str], None]


def split_samples(
    items: Sequence[Sample],
    classes: Sequence[str],
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    follow: Follow = iter,
    note: Note = lambda line: None,
) -> list[str]:
    """The part of each item: "train", or a key of `shares`, such as {"val": 0.2, "test": 0.1}. The order of the items
    changes nothing. follow: wraps the items to show progress. note: called with a line about pictures that are copies.
    Raises UserError for shares or a seed out of range, and for a part that would be empty."""
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(name, f"{share} must be a share of the samples, between 0 and 1")
    if sum(shares.values()) >= 1:
        raise UserError(" and ".join(f"{name} = {shares[name]}" for name in shares), "leave nothing to train on")
    parts = _divide(items, classes, shares, seed, follow, note)
    for name in ("train", *shares):
        if name not in parts:
            raise UserError("split", f"the part '{name}' would be empty: {len(items)} samples", "choose other shares")
    return parts


def _divide(
    items: Sequence[Sample],
    classes: Sequence[str],
    shares: Mapping[str, float],
    seed: int,
    follow: Follow,
    note: Note,
) -> list[str]:
    """The part of each item; "train" gets the share that `shares` leave."""
    check_seed(seed)
    shares = {"train": 1 - sum(shares.values()), **shares}
    salt = seed.to_bytes(hashlib.blake2b.SALT_SIZE, "little")
    read = list(in_threads(partial(_read, salt, len(classes)), items, follow))
    groups = group_copies(items, [pixels for _, pixels, _ in read])
    copies = sum(len(group) for group in groups if len(group) > 1)
    if copies:
        note(
            f"{copies} of {len(items)} pictures are copies, or made of one picture: those of a picture are in one part"
        )
    groups.sort(key=lambda group: min(read[i][0] for i in group))
    held = [Counter(chain(*(read[i][2] for i in group))) for group in groups]
    assigned = deal(held, [len(group) for group in groups], list(shares.values()))
    parts = [""] * len(items)
    for group, part in zip(groups, assigned, strict=True):
        for i in group:
            parts[i] = list(shares)[part]
    return parts


def _read(salt: bytes, classes: int, item: Sample) -> tuple[bytes, str, list[int]]:
    """(hash, digest, ids): the salted hash of a picture's bytes, the digest of its pixels, and the ids in its label
    map."""
    shown = np.flatnonzero(np.bincount(item.labels(classes).ravel(), minlength=256)[1:255]) + 1
    digest = hashlib.blake2b(stored_bytes(item.image_file), salt=salt).digest()
    return digest, pixel_digest(item.image), shown.tolist()


def pixel_digest(image: np.ndarray) -> str:
    """A digest of the pixels (H, W, 3) uint8 of a picture; its file's format does not matter."""
    return hashlib.blake2b(image.tobytes(), digest_size=16, key=repr(image.shape).encode()).hexdigest()


def group_copies(items: Sequence[Sample], digests: Sequence[str]) -> list[list[int]]:
    """Groups of the positions of samples that belong together: if their pictures have the same pixels, if `augment`
    made one of the other or both of a third, or if Roboflow made both of one. A splice counts as made of the picture in
    its first cell. digests: the `pixel_digest` of each sample's picture."""
    joined = list(range(len(items)))  # position → an earlier position in its group, or itself

    def first(position: int) -> int:
        while joined[position] < position:
            position = joined[position]
        return position

    # Merged sets have several samples of one name: if a row has no digest of its source, each may be the source.
    sources: list[Hashable] = []
    for item in items:
        recipe = item.row.recipe
        source: Hashable = recipe.pixels
        if recipe.source and not source:
            source = ("source", recipe.source.rpartition("/")[2])
        sources.append(source)
    owners: dict[Hashable, int] = {}
    for position, (item, digest, source) in enumerate(zip(items, digests, sources, strict=True)):
        name = item.name.rpartition("/")[2]
        keys = [digest, *filter(None, [source]), *{("source", name)}.intersection(sources)]
        copy = ROBOFLOW.fullmatch(name)
        if copy:
            keys.append(("Roboflow", copy[1]))
        for key in keys:
            ends = sorted((first(position), first(owners.setdefault(key, position))))
            joined[ends[1]] = ends[0]
    return positions_of(map(first, range(len(items))))


def deal(held: Sequence[Mapping[int, int]], sizes: Sequence[int], shares: Sequence[float]) -> list[int]:
    """The index of the part for each group of samples.

    held: for each group, class id → number of samples that show the class. sizes: number of samples of each group.
    shares: the share of each part; their sum is 1.

    The rarest class is dealt first; its groups by size, number of classes, and the given order. A group goes to the
    part that still lacks most, summed over the group's classes and all samples, each as a share of the part's due; of
    equal parts, to the larger. A part without room for half of the group gets it only if all parts are full.
    """
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], -len(held[i])))
    # The key None counts all samples of a group.
    counted: list[dict[int | None, int]] = [{**of, None: size} for of, size in zip(held, sizes, strict=True)]
    total = Counter[int | None]()
    for of in counted:
        total.update(of)
    due = np.array(shares) * sum(sizes)
    lacking = {kind: np.ones(len(shares)) for kind in total}  # share of its due that each part still lacks
    rarest = sorted(total, key=lambda kind: (kind is None, total[kind], kind or 0))
    assigned = [-1] * len(sizes)
    for kind in rarest:
        for i in order:
            if assigned[i] < 0 and counted[i].get(kind):
                score = sum(lacking[class_id] for class_id in counted[i])
                full = lacking[None] * due < sizes[i] / 2 - ROUNDING
                score = np.where(full & ~full.all(), -np.inf, score)
                assigned[i] = part = int(np.lexsort([-np.array(shares), -np.round(score, 9)])[0])
                for class_id, count in counted[i].items():
                    lacking[class_id][part] -= count / (shares[part] * total[class_id])
    return assigned


def set_splits(folder: Path | str, parts: Mapping[str, str]) -> None:
    """Writes `split` into the rows of a native dataset. parts: sample's name → part. Raises UserError if the dataset
    has other samples."""
    folder = Path(folder)
    with open_folder(folder):
        rows = {native.sample_name(row["file_name"]): row for row in native.read_rows(folder)}
        if rows.keys() != parts.keys():
            raise UserError(folder, "its samples have changed since they were read", "run the same command again")
        new = [{**row, "split": parts[name]} for name, row in rows.items()]
        write_atomic(folder / native.METADATA, native.jsonl(new))


def assign_splits(
    items: Sequence[Sample],
    classes: Sequence[str],
    share: float | None,
    seed: int = 0,
    *,
    follow: Follow = iter,
    note: Note = lambda line: None,
) -> list[str]:
    """One of SPLITS for each sample. share: in [0, 1], "val" for this share of the samples and "train" for the others,
    divided as by `split_samples`; None: the `split` of each row, or else "train". Raises UserError."""
    if share is None:
        return [item.row.part for item in items]
    if not 0 <= share <= 1:
        raise UserError("split", f"{share} must be the share of samples for validation, in [0, 1]")
    if share in (0, 1):
        return [("train", "val")[int(share)]] * len(items)
    return _divide(items, classes, {"val": share}, seed, follow, note)


def check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise UserError("seed", f"{seed} must be in [0, 2^63)")


def positions_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """The positions of each key, in the order of each key's first position."""
    positions: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        positions.setdefault(key, []).append(index)
    return list(positions.values())
