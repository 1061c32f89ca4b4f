"""Parts of a dataset for training, validation and testing: every class in each by its share, no picture in two that look alike.

Samples are dealt out one after the other, those of rare classes first, as in iterative stratification (Sechidis et al., ECML 2011), to the
part that lacks most of what they show. Pictures that look alike (quality/duplicates.py) are dealt out together.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files.output_folders import open_folder
from ..files.outputs import write_atomic
from ..files.pictures import open_picture
from . import native
from .quality.duplicates import difference_hash, near_groups
from .sample import SPLITS, Sample

ROUNDING = 1e-6
"""Of sums of shares."""


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise UserError unless shares (part → share) are in (0, 1) and leave something to train on."""
    for name, share in shares.items():
        if not 0 < share < 1:
            raise UserError(f"{name} = {share}", "must be a share of the samples, between 0 and 1")
    if sum(shares.values()) >= 1:
        raise UserError(" and ".join(f"{name} = {share}" for name, share in shares.items()), "leave nothing to train on")


def split_samples(
    items: Sequence[Sample], classes: Sequence[str], shares: Mapping[str, float], *, seed: int = 0, follow: Callable = iter
) -> list[str]:
    """The part of each item: "train", or one that `shares` names, such as {"val": 0.2, "test": 0.1}.

    The same seed gives the same parts. follow: wraps the items to show progress. Raises UserError for shares that cannot be, naming the
    sample that cannot be read, and naming the part that no sample would be in.
    """
    check_shares(shares)
    check_seed(seed)
    looks = list(_looks(items, len(classes), follow))
    groups = same_looks([look for look, _ in looks])
    held = [Counter(class_id for i in group for class_id in looks[i][1]) for group in groups]
    parts = {"train": 1 - sum(shares.values()), **shares}
    assigned = deal(held, [len(group) for group in groups], list(parts.values()), seed)
    assigned_to = [""] * len(items)
    for group, part in zip(groups, assigned, strict=True):
        for i in group:
            assigned_to[i] = list(parts)[part]
    if empty := next((part for part in parts if part not in assigned_to), None):
        raise UserError(
            f"split: the part '{empty}' would be empty: {len(items)} samples in {len(groups)} groups that look alike; "
            "choose other shares, or more samples"
        )
    return assigned_to


def same_looks(hashes: Sequence[int]) -> list[list[int]]:
    """Positions of pictures that stay together, every position once: those of near hashes, and each other one alone."""
    groups = near_groups(hashes)
    together = {i for group in groups for i in group}
    return sorted([*groups, *([i] for i in range(len(hashes)) if i not in together)])


def deal(held: Sequence[Mapping[int, int]], sizes: Sequence[int], shares: Sequence[float], seed: int) -> list[int]:
    """The part of each group of samples. held: class id → samples that show it; sizes: samples. shares: of each part, of sum 1.

    Groups of the rarest class left go first, of them the largest and those with most classes, others in the seed's order. Each goes to the
    part that still lacks the largest share of its due, in samples of the group's classes and in samples at all; of equals to the larger.
    A part that has no room for half of the group is full.
    """
    order = np.random.default_rng(seed).permutation(len(sizes)).tolist()
    order.sort(key=lambda i: (-sizes[i], -len(held[i])))
    # Every group holds `None`, samples at all.
    counted: list[dict[int | None, int]] = [{**class_id, None: size} for class_id, size in zip(held, sizes, strict=True)]
    total = Counter[int | None]()
    for class_id in counted:
        total.update(class_id)
    due = np.array(shares) * sum(sizes)
    lacking = {kind: np.ones(len(shares)) for kind in total}  # of each part's due
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
    """Write `split` into the rows of a native dataset. parts: of each sample, by name. Raises UserError when another run is
    at work in it."""
    folder = Path(folder)
    with open_folder(folder):
        rows = [{**row, "split": parts[native.sample_name(row["file_name"])]} for row in native.read_rows(folder)]
        write_atomic(folder / native.METADATA, native.jsonl(rows))


def assign_splits(names: Sequence[str], rows: Sequence[Mapping[str, Any]], share: float | None, seed: int = 0) -> list[str]:
    """One of SPLITS for each sample: with a share in [0, 1], that many are "val", the same ones every time, by a hash of their names and
    the seed, the others "train"; without one, what the row's `split` says, else "train"."""
    if share is None:
        return [str(row["split"]) if row.get("split") in SPLITS else "train" for row in rows]
    if not 0 <= share <= 1:
        raise UserError(f"split = {share}", "must be the share of samples for validation, in [0, 1]")
    check_seed(seed)
    salt = seed.to_bytes(hashlib.blake2b.SALT_SIZE, "little")
    ranked = sorted(names, key=lambda name: hashlib.blake2b(name.encode("utf-8"), salt=salt).digest())
    chosen = set(ranked[: round(share * len(names))])
    return ["val" if name in chosen else "train" for name in names]


def check_seed(seed: int) -> None:
    """Raise UserError for a seed that cannot be."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed = {seed}", "must be in [0, 2^63)")


def _looks(items: Sequence[Sample], classes: int, follow: Callable) -> Iterable[tuple[int, list[int]]]:
    """Of each item the difference hash of its picture and the ids of the classes that it shows."""

    def look(item: Sample) -> tuple[int, list[int]]:
        shown = np.flatnonzero(np.bincount(item.labels(classes).ravel(), minlength=256)[1:255]) + 1
        with open_picture(item.source, f"sample '{item.name}': its picture") as picture:
            return difference_hash(picture), shown.tolist()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(look, items)
        try:
            for _ in follow(items):
                yield next(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
