"""COCO's compressed run-length masks, of all segments of a label map in one pass over its runs. The bytes are those of pycocotools.

COCO walks a mask column by column and counts how many pixels it stays outside, inside, outside … A count is written as its difference
to the one two before it (from the fourth on), in groups of five bits from the lowest, each with a sixth bit that says whether another
follows, as characters from "0" on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np


@dataclass(frozen=True)
class RunLengthMask:
    """rle: {"size": [H, W], "counts": text}. area in pixels. bbox_xywh: left, top, width, height in pixels."""

    rle: dict[str, Any]
    area: int
    bbox_xywh: list[int]


def label_map_rles(label_map: np.ndarray) -> dict[int, dict[str, Any]]:
    """Segment id → its mask as {"size": [H, W], "counts": text}, for every id of at least 0 in label_map (H, W) of integers."""
    return {name: mask.rle for name, mask in label_map_masks(label_map).items()}


def label_map_masks(label_map: np.ndarray) -> dict[int, RunLengthMask]:
    """Segment id → its mask, for every id of at least 0 in label_map (H, W) of integers, in rising order."""
    height, width = label_map.shape
    flat = label_map.T.ravel()  # column by column
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ids = flat[starts]
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    ends = np.append(starts[1:], flat.size)[order]
    starts = starts[order]
    # Runs of one id stand together now, from `first` to `last`.
    first = np.concatenate([[0], np.flatnonzero(ids[1:] != ids[:-1]) + 1])
    last = np.append(first[1:], len(ids)) - 1
    before = np.concatenate([[0], ends[:-1]])
    before[first] = 0
    counts = np.column_stack([starts - before, ends - starts]).ravel()  # outside, inside, outside …
    # After its last run a mask ends outside, unless it reaches the last pixel.
    rest = flat.size - ends[last]
    sizes = 2 * (last - first + 1) + (rest > 0)
    counts = np.insert(counts, 2 * (last + 1)[rest > 0], rest[rest > 0])
    texts = _compress(counts, np.cumsum(sizes) - sizes)

    areas = np.add.reduceat(ends - starts, first)
    (from_column, top), (to_column, bottom) = np.divmod(starts, height), np.divmod(ends - 1, height)
    around = from_column != to_column  # a run that goes on in the next column is at the upper and the lower edge
    lefts, rights = from_column[first], to_column[last] + 1
    tops = np.minimum.reduceat(np.where(around, 0, top), first)
    bottoms = np.maximum.reduceat(np.where(around, height, bottom + 1), first)
    boxes = np.column_stack([lefts, tops, rights - lefts, bottoms - tops]).tolist()
    return {
        name: RunLengthMask({"size": [height, width], "counts": text}, area, box)
        for name, text, area, box in zip(ids[first].tolist(), texts, areas.tolist(), boxes, strict=True)
        if name >= 0
    }


def compress(counts: np.ndarray) -> str:
    """Run lengths, the first of them outside (0 when the first pixel is inside), as COCO's text."""
    return _compress(counts, np.zeros(1, np.int64))[0]


def _compress(counts: np.ndarray, first: np.ndarray) -> list[str]:
    """Several masks' run lengths, one mask after the other from the positions `first` (M,) on, as M texts."""
    values = counts.astype(np.int64)
    values[2:] -= counts[:-2]
    for k in range(3):  # the first three of each mask are written as they are
        own = first[first + k < np.append(first[1:], len(counts))] + k
        values[own] = counts[own]
    packed, lengths = (table[values & (2 * SHORT - 1)] for table in _short())
    if len(long := np.flatnonzero((values < -SHORT) | (values >= SHORT))):
        packed[long], lengths[long] = _pack(values[long])
    text = packed.tobytes().translate(None, b"\0").decode("ascii")
    edges = [0, *np.cumsum(np.add.reduceat(lengths, first, dtype=np.int64)).tolist()]
    return [text[a:b] for a, b in pairwise(edges)]


SHORT = 1 << 14
"""Values from -SHORT to SHORT - 1, of at most three characters, are looked up; nearly all are."""


@cache
def _short() -> tuple[np.ndarray, np.ndarray]:
    """`_pack` of every short value, at its lowest 15 bits."""
    return _pack(np.roll(np.arange(-SHORT, SHORT), SHORT))


def _pack(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The characters of values (N,), below 2³⁹, as (N,) uint64 of eight bytes, zeros after the last one; and how many they are."""
    magnitude = np.where(values < 0, ~values, values)  # the sign must be readable: each character more carries five bits further
    packed, lengths = np.zeros((len(values), 8), np.uint8), np.ones(len(values), np.uint8)
    for k in range(8):
        used, more = magnitude >= (1 << 5 * k - 1 if k else 0), magnitude >= 1 << 5 * k + 4
        packed[:, k] = used * (((values >> 5 * k) & 31) + 48 + 32 * more)
        lengths += more
    return packed.view(np.uint64)[:, 0], lengths


def decompress(counts: str) -> np.ndarray:
    """The run lengths that `compress` wrote."""
    digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(digits < 32) + 1
    if not len(ends):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    shift = 5 * (np.arange(ends[-1]) - np.repeat(starts, ends - starts))
    values = np.add.reduceat((digits[: ends[-1]] & 31) << shift, starts)
    values -= np.where(digits[ends - 1] & 16, np.int64(1) << 5 * (ends - starts), 0)
    for k in (1, 2):
        values[k::2] = np.cumsum(values[k::2])
    return values


def decode(rle: dict[str, Any]) -> np.ndarray:
    """The mask (H, W) bool of a compressed run-length mask."""
    return fill(decompress(rle["counts"]), rle["size"])


def fill(counts: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The mask (H, W) bool of run lengths, which must add up to H · W."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size[1], size[0]).T
