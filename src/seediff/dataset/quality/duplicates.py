"""Pictures that are there twice: byte by byte, and to the eye."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from ..shapes.objects import united

NEAR_BITS = 4
"""Pictures whose difference hashes differ in at most so many of 64 bits look alike."""


def difference_hash(picture: Image.Image) -> int:
    """64 bits: whether each of 8 × 8 cells of the grey picture is darker than the one to its right (dHash)."""
    grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def same_groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """The positions of each key that is there more than once, in order."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        found[key].append(index)
    return [group for group in found.values() if len(group) > 1]


def near_groups(hashes: Sequence[int], bits: int = NEAR_BITS) -> list[list[int]]:
    """Positions of hashes that a chain of pairs joins which differ in at most `bits` bits, in order.

    Two hashes that differ in so few bits are equal in at least one of `bits` + 1 parts, so that only those are compared.
    """
    values = np.array(sorted(set(hashes)), np.uint64)
    pairs: list[tuple[int, int]] = []
    for low, high in pairwise(np.linspace(0, 64, bits + 2).astype(int)):
        part = (values >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(part, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            for place, first in enumerate(group[:-1]):
                others = group[place + 1 :]
                pairs += [(int(first), int(other)) for other in others[_differing(values[others] ^ values[first]) <= bits]]
    leader = united(pairs)
    place = {value: leader.get(number, number) for number, value in enumerate(values.tolist())}
    return same_groups([place[value] for value in hashes])


def _differing(values: np.ndarray) -> np.ndarray:
    """(N,) how many bits of each 64-bit value are set."""
    return np.unpackbits(np.ascontiguousarray(values).view(np.uint8).reshape(-1, 8), axis=1).sum(1)
