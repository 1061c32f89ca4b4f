"""Splits a dataset for training, validation and testing: each part gets its share of every class, and pictures that
look alike stay together.

Samples of rare classes are assigned first, as in iterative stratification (Sechidis et al., ECML 2011), to the part
that lacks most of what they show. Pictures with near difference hashes are assigned together.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..errors import UserError
from ..files.output_folders import open_folder
from ..files.outputs import write_atomic
from ..files.pictures import eight_bits, open_picture
from ..workers import in_threads
from . import native
from .sample import SPLITS, Sample

ROUNDING = 1e-6
NEAR_BITS = 4
"""Pictures look alike if their difference hashes differ in at most this many of their 64 bits."""


def split_samples(
    items: Sequence[Sample],
    classes: Sequence[str],
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    follow: Callable = iter,
) -> list[str]:
    """The part of each item: "train", or a key of `shares`, such as {"val": 0.2, "test": 0.1}. follow: wraps the items
    to show progress. Raises UserError for shares or a seed out of range, and for a part that would be empty."""
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(name, f"{share} must be a share of the samples, between 0 and 1")
    if sum(shares.values()) >= 1:
        raise UserError(" and ".join(f"{name} = {shares[name]}" for name in shares), "leave nothing to train on")
    check_seed(seed)
    looks = list(in_threads(partial(_look, len(classes)), items, follow))
    groups = positions_of(near_numbers([look for look, _ in looks]))
    held = [Counter(class_id for i in group for class_id in looks[i][1]) for group in groups]
    parts = {"train": 1 - sum(shares.values()), **shares}
    assigned = deal(held, [len(group) for group in groups], list(parts.values()), seed)
    part_of = {i: list(parts)[part] for group, part in zip(groups, assigned, strict=True) for i in group}
    if empty := parts.keys() - part_of.values():
        count = f"{len(items)} samples in {len(groups)} groups that look alike"
        raise UserError("split", f"the part '{min(empty)}' would be empty: {count}", "choose other shares")
    return [part_of[i] for i in range(len(items))]


def deal(held: Sequence[Mapping[int, int]], sizes: Sequence[int], shares: Sequence[float], seed: int) -> list[int]:
    """The index of the part for each group of samples.

    held: per group, class id → number of samples that show the class. sizes: samples per group. shares: with sum 1.

    Classes come from the rarest on; their groups by size, number of classes, and the seed. A group goes to the part
    with the largest sum of shares that it still lacks, of each of the group's classes and of all samples; of equal
    parts, to the larger. A part without room for half of the group gets it only if all parts are full.
    """
    order = np.random.default_rng(seed).permutation(len(sizes)).tolist()
    order.sort(key=lambda i: (-sizes[i], -len(held[i])))
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
    """Writes `split` into the rows of a native dataset. parts: sample name → part."""
    folder = Path(folder)
    with open_folder(folder):
        rows = {native.sample_name(row["file_name"]): row for row in native.read_rows(folder)}
        if rows.keys() != parts.keys():
            raise UserError(folder, "its samples have changed in the meantime", "run the same command again")
        new = [{**row, "split": parts[name]} for name, row in rows.items()]
        write_atomic(folder / native.METADATA, native.jsonl(new))


def assign_splits(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], share: float | None, seed: int = 0
) -> list[str]:
    """One of SPLITS for each sample. With a share in [0, 1], this share is "val" and the others "train", by a hash of
    their names and the seed. Without, the `split` of the row, or else "train"."""
    if share is None:
        return [split_of(row) for row in rows]
    if not 0 <= share <= 1:
        raise UserError("split", f"{share} must be the share of samples for validation, in [0, 1]")
    check_seed(seed)
    salt = seed.to_bytes(hashlib.blake2b.SALT_SIZE, "little")
    ranked = sorted(names, key=lambda name: hashlib.blake2b(name.encode("utf-8"), salt=salt).digest())
    chosen = set(ranked[: round(share * len(names))])
    return ["val" if name in chosen else "train" for name in names]


def split_of(row: Mapping[str, Any]) -> str:
    """One of SPLITS: the `split` of a row, or else "train"."""
    return str(row["split"]) if row.get("split") in SPLITS else "train"


def check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise UserError("seed", f"{seed} must be in [0, 2^63)")


def _look(classes: int, item: Sample) -> tuple[int, list[int]]:
    shown = np.flatnonzero(np.bincount(item.labels(classes).ravel(), minlength=256)[1:255]) + 1
    with open_picture(item.stored(), item.where) as picture:
        return difference_hash(picture), shown.tolist()


def difference_hash(picture: Image.Image) -> int:
    """64 bits: whether each of 8 × 8 cells of the grey picture is darker than the one to its right (dHash)."""
    grey = np.asarray(eight_bits(picture).convert("L").resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def positions_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """The positions of each key, in order of the first."""
    places: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)
    return list(places.values())


def near_numbers(hashes: Sequence[int]) -> list[int]:
    """A number for each hash (64 bits), equal for those connected by a chain of pairs that differ in at most NEAR_BITS
    bits. Such a pair is equal in one of NEAR_BITS + 1 sections, so only hashes with an equal section are compared."""
    values, places = np.unique(np.array(hashes, np.uint64), return_inverse=True)
    pairs: list[tuple[int, int]] = []
    for low, high in pairwise(np.linspace(0, 64, NEAR_BITS + 2).astype(int)):
        part = (values >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(part, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            for place, first in enumerate(group[:-1]):
                others = group[place + 1 :]
                bits = np.unpackbits((values[others] ^ values[first]).view(np.uint8).reshape(-1, 8), axis=1).sum(1)
                pairs += [(first, other) for other in others[bits <= NEAR_BITS]]
    graph = coo_array((np.ones(len(pairs)), np.array(pairs, int).reshape(-1, 2).T), (len(values), len(values)))
    return connected_components(graph, directed=False)[1][places].tolist() if len(values) else []
