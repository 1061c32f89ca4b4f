"""COCO's compressed run-length masks, of all segments of a label map in one pass over its runs. The bytes are those of pycocotools.

COCO walks a mask column by column and counts how many pixels it stays outside, inside, outside … A count is written as its difference
to the one two before it (from the fourth on), in groups of five bits from the lowest, each with a sixth bit that says whether another
follows, as characters from "0" on.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def label_map_rles(label_map: np.ndarray) -> dict[int, dict[str, Any]]:
    """Segment id → its mask as {"size": [H, W], "counts": text}, for every id of at least 0 in label_map (H, W) of integers."""
    height, width = label_map.shape
    flat = label_map.T.ravel()  # column by column
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    ends = np.append(starts[1:], flat.size)
    ids = flat[starts]
    order = np.argsort(ids, kind="stable")
    names, first = np.unique(ids[order], return_index=True)
    rles = {}
    for name, runs in zip(names.tolist(), np.split(order, first[1:]), strict=True):
        if name < 0:
            continue
        edges = np.column_stack([starts[runs], ends[runs]]).ravel()
        counts = np.diff(edges, prepend=0)
        if edges[-1] < flat.size:
            counts = np.append(counts, flat.size - edges[-1])
        rles[name] = {"size": [height, width], "counts": compress(counts)}
    return rles


def compress(counts: np.ndarray) -> str:
    """Run lengths, the first of them outside (0 when the first pixel is inside), as COCO's text."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    digits: list[np.ndarray] = []
    more: list[np.ndarray] = []
    going = np.ones(len(values), bool)
    while going.any():
        low = values & 31
        values = values >> 5
        further = going & ~(((values == 0) & (low < 16)) | ((values == -1) & (low >= 16)))  # the sign must be readable
        digits.append(np.where(going, low + 32 * further + 48, 0))
        more.append(going)
        going = further
    table, used = np.stack(digits, 1), np.stack(more, 1)
    return table[used].astype(np.uint8).tobytes().decode("ascii")


def decompress(counts: str) -> np.ndarray:
    """The run lengths that `compress` wrote."""
    lengths: list[int] = []
    value = shift = 0
    for byte in counts.encode("ascii"):
        digit = byte - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return np.array(lengths, np.int64)


def decode(rle: dict[str, Any]) -> np.ndarray:
    """The mask (H, W) bool of a compressed run-length mask."""
    height, width = rle["size"]
    lengths = decompress(rle["counts"])
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T
