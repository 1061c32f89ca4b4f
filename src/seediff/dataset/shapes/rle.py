"""Masks as run lengths: COCO's, and CVAT's within a box.

COCO's compressed run-length masks, of all segments of a label map in one pass over its runs. The bytes are those of pycocotools.

COCO walks a mask column by column and counts how many pixels it stays outside, inside, outside … A count is written as its difference
to the one two before it (from the fourth on), in groups of five bits from the lowest, each with a sixth bit that says whether another
follows, as characters from "0" on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ...errors import UserError
from ...files.messages import shown
from .runs import Masks, column_runs, masks_of_ids


def label_map_rles(label_map: np.ndarray) -> dict[int, dict[str, Any]]:
    """Segment id → its mask as {"size": [H, W], "counts": text}, for every id of at least 0 in label_map (H, W) of integers, in rising
    order."""
    ids, masks = masks_of_ids(column_runs(label_map))
    return {name: rle for name, rle in zip(ids.tolist(), rles(masks), strict=True) if name >= 0}


def rles(masks: Masks) -> list[dict[str, Any]]:
    """Each mask as {"size": [H, W], "counts": text}."""
    height, width = masks.shape
    return [{"size": [height, width], "counts": counts} for counts in compress(masks)]


def compress(masks: Masks) -> list[str]:
    """Each mask's run lengths, the first of them outside (0 when the first pixel is inside), as COCO's text."""
    starts, ends, first = masks.starts, masks.ends, masks.first
    if not len(first):
        return []
    outside = starts.copy()
    outside[1:] -= ends[:-1]
    outside[first] = starts[first]
    apart = outside > 0  # else a run goes on at the top of the next column
    apart[first] = True
    if not apart.all():
        kept = np.flatnonzero(apart)
        starts, outside = starts[kept], outside[kept]
        ends = ends[np.append(kept[1:], len(ends)) - 1]
        first = np.searchsorted(kept, first)
    inside = ends - starts
    last = np.append(first[1:], len(ends)) - 1
    after = masks.shape[0] * masks.shape[1] - ends[last]  # after its last run a mask ends outside, unless it reaches the last pixel

    second = first[first < last] + 1
    shown = [outside.copy(), inside.copy(), after - outside[last] * (first < last)]
    for values, lengths in ((shown[0], outside), (shown[1], inside)):
        values[1:] -= lengths[:-1]
        values[first] = lengths[first]
    shown[0][second] = outside[second]  # the first three of each mask are written as they are

    count = 4 if masks.shape[0] * masks.shape[1] < 1 << 19 else 8
    words = np.split(_characters(np.concatenate(shown), count), [len(outside), 2 * len(outside)])
    words[2][after == 0] = 0
    closing = np.column_stack([words[2], np.full(len(first), ord("\n"), words[2].dtype)]).ravel()
    words = np.insert(np.column_stack(words[:2]).ravel(), np.repeat(2 * last + 2, 2), closing)
    return words.tobytes().translate(None, b"\0").decode("ascii").split("\n")[:-1]


SHORT = 1 << 14
"""Values from -SHORT to SHORT - 1, of at most three characters, are looked up; nearly all are."""


def _characters(values: np.ndarray, count: int) -> np.ndarray:
    """values (N,) as `count` characters each, 4 (for values below 2¹⁹) or 8 (2³⁹), in one number; zeros after the last."""
    packed = _short(count).take(values & (2 * SHORT - 1))
    if len(long := np.flatnonzero((values < -SHORT) | (values >= SHORT))):
        packed[long] = _pack(values[long], count)
    return packed


@cache
def _short(count: int) -> np.ndarray:
    """`_pack` of every short value, at its lowest 15 bits."""
    return _pack(np.roll(np.arange(-SHORT, SHORT), SHORT), count)


def _pack(values: np.ndarray, count: int) -> np.ndarray:
    """`_characters`, by computing them."""
    values = values.astype(np.int64)
    magnitude = np.where(values < 0, ~values, values)[:, None]  # the sign must be readable: each character more carries five bits further
    bits = 5 * np.arange(count)
    least = np.array([0, *1 << bits[1:] - 1])  # that needs this character
    packed = (values[:, None] >> bits & 31) + 48 + 32 * (magnitude >= 1 << bits + 4)
    return np.where(magnitude >= least, packed, 0).astype(np.uint8).view(f"u{count}")[:, 0]


def decompress(counts: str) -> np.ndarray:
    """The run lengths that `compress` wrote, as (N,) int64. Raises ValueError for a text that is none; whether the lengths are those of a
    mask is for the caller to see. Sums that wrapped around are seen too: lengths far above any picture's come before them."""
    digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    if len(digits) and not (digits.min() >= 0 and digits.max() < 64 and digits[-1] < 32):
        raise ValueError("holds other characters than run lengths have, or ends within one")
    ends = np.flatnonzero(digits < 32) + 1
    if not len(ends):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    if (ends - starts).max() > MAX_CHARACTERS:
        raise ValueError("holds a run length of more than 40 bits")
    shift = 5 * (np.arange(ends[-1]) - np.repeat(starts, ends - starts))
    values = np.add.reduceat((digits & 31) << shift, starts)
    values -= np.where(digits[ends - 1] & 16, np.int64(1) << 5 * (ends - starts), 0)
    for k in (1, 2):
        values[k::2] = np.cumsum(values[k::2])
    return values


MAX_CHARACTERS = 8
"""Of one run length: 40 bits, of which it takes millions to wrap around 64."""


def count_runs(size: Sequence[int], counts: Sequence[int] | str, shape: tuple[int, int], where: str) -> np.ndarray:
    """Run lengths (N,) int64 of RLE in a picture of `shape` (H, W): outside, inside, outside …, column by column, which add up to H · W.
    Raises UserError naming the annotation, `where`."""
    if list(size) != list(shape):
        raise UserError(f"{where}: its mask is {shown(size)}, but its image is {list(shape)}; both are [height, width]")
    total = shape[0] * shape[1]
    wrong = UserError(f"{where}: 'counts' are no run lengths of {shape[0]} × {shape[1]} pixels")
    if not isinstance(counts, str):
        if sum(counts) != total or min(counts) < 0:
            raise wrong
        return np.array(counts, np.int64)
    try:
        runs = decompress(counts)
    except ValueError as error:
        raise wrong from error
    # Each run is at most the picture, so that the sum of all cannot wrap.
    if not len(runs) or runs.min() < 0 or runs.max() > total or runs.sum() != total:
        raise wrong
    return runs


def area(runs: np.ndarray) -> int:
    """Pixels inside."""
    return int(runs[1::2].sum())


def decode(rle: dict[str, Any]) -> np.ndarray:
    """The mask (H, W) bool of a compressed run-length mask."""
    return fill(decompress(rle["counts"]), rle["size"])


def paint_runs(labels: np.ndarray, counts: np.ndarray, value: int) -> None:
    """Set the pixels inside of run lengths, of labels (H, W) uint8 that lie column by column in memory (order="F"), to a value."""
    flat = labels.reshape(-1, order="F")
    ends = np.cumsum(counts)
    for begin, end in zip(ends[:-1:2].tolist(), ends[1::2].tolist(), strict=False):
        flat[begin:end] = value


MOST_MASKS, MOST_LAYERS = 20_000, 100
"""Masks of one picture, and how many of them lie over each pixel on average: far more than anybody draws."""


def check_count(masks: int, where: str) -> None:
    """Raise UserError for more masks than a picture has, before any is looked at."""
    if masks > MOST_MASKS:
        raise UserError(f"{where}: has {masks} masks; at most {MOST_MASKS} of one picture are read")


def check_layers(area: int, shape: tuple[int, ...], where: str) -> None:
    """Raise UserError when masks have more pixels together than those of a picture of `shape` (H, W) do, before they are painted."""
    if (layers := area / math.prod(shape)) > MOST_LAYERS:
        raise UserError(f"{where}: its masks cover the picture {layers:.0f} times over; at most {MOST_LAYERS} times are read")


def fill(counts: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The mask (H, W) bool of run lengths, which must add up to H · W."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size[1], size[0]).T


@dataclass(frozen=True)
class Boxed:
    """left, top, width, height: the box, in pixels. counts: run lengths (N,) int64, outside, inside, outside …, which fill the box."""

    left: int
    top: int
    width: int
    height: int
    counts: np.ndarray

    def paint(self, labels: np.ndarray, value: int) -> None:
        """Set the mask's pixels of labels (H, W) uint8, in which the box must lie, to a value."""
        inside = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts).reshape(self.height, self.width)
        labels[self.top : self.top + self.height, self.left : self.left + self.width][inside] = value


def boxed(inside: np.ndarray) -> Boxed:
    """The mask (H, W) bool, which must not be empty."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    left, top = int(columns[0]), int(rows[0])
    return boxed_at(inside[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], left, top)


def boxed_at(inside: np.ndarray, left: int, top: int) -> Boxed:
    """The mask whose box, with this corner, shows `inside` (h, w) bool."""
    height, width = inside.shape
    flat = inside.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(edges, prepend=0, append=flat.size)
    return Boxed(left, top, width, height, np.concatenate([[0], counts]) if flat[0] else counts)
