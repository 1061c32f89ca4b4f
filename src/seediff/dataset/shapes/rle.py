"""Masks as run lengths: those of COCO, into which polygons, boxes and ellipses are filled, too, and those of Label
Studio's brush.

COCO's run lengths count the pixels outside, inside, outside … of a mask, column by column. COCO compresses them into a
text. The text is decompressed here, because pycocotools reads past the end of a text that ends within a number, and
accepts run lengths that end before the picture does.

The brush writes a picture of four channels, of which the fourth is the mask, row by row as a stream of bits:

    32 bits     the number of values
    5 bits      the bits per value, minus one
    4 × 4 bits  the four possible widths of a block's length, minus one
    blocks      1 bit    1: all values of the block are equal, 0: they differ
                2 bits   which of the four widths the length has
                length   the number of values in the block, minus one
                values   the one value, or all values
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from pycocotools import mask

from ...errors import UserError
from ...files.messages import show_json

WORD_BITS, SIZES, CHANNELS = 8, (3, 4, 8, 16), 4
"""The brush's bits per value, widths of a block's length, and channels."""


def encode_runs(inside: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool as COCO's {"size": [H, W], "counts": text}."""
    rle: Any = mask.encode(np.asfortranarray(inside, np.uint8))
    return {**rle, "counts": rle["counts"].decode("ascii")}


def decompress(counts: str) -> list[int]:
    """The run lengths in COCO's compressed text.

    Each character holds six bits, counted from "0": five bits of a number, lowest first, and a bit that says whether
    the number goes on in the next character. The first three numbers are run lengths. Each further number is the
    difference to the run length two before. Raises ValueError for a text that is not of this form.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts.encode("ascii"):
        digit = character - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("is not a run-length string")
        value |= (digit & 31) << shift
        shift += 5
        if digit < 32:
            value -= (digit >> 4) << shift  # the highest bit is the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("ends within a number")
    return runs


def count_runs(size: Sequence[int], counts: Sequence[int] | str, frame: tuple[int, int], where: str) -> np.ndarray:
    """(N,) int64: the run lengths of a COCO mask.

    size: the mask's [H, W]. counts: its run lengths, or COCO's compressed text of them. frame: (H, W) of the picture.
    where: the mask's name in errors. Raises UserError for a mask that does not fit the picture.
    """
    if list(size) != list(frame):
        problem = f"its mask is {show_json(size)}, but its image is {list(frame)}; both are [height, width]"
        raise UserError(where, problem)
    try:
        runs = decompress(counts) if isinstance(counts, str) else counts
        if sum(runs) == math.prod(frame) and min(runs) >= 0:
            return np.array(runs, np.int64)
    except ValueError:
        pass
    raise UserError(where, f"'counts' are not valid for a mask of {frame[0]} × {frame[1]} pixels")


def polygon_runs(polygons: Sequence[Sequence[float]], frame: tuple[int, int], where: str) -> np.ndarray:
    """(N,) int64: the run lengths of the union of polygons, filled as pycocotools fills them.

    polygons: [x, y, x, y, …] in pixels. frame: (H, W) of the picture. where: the polygons' name in errors. Raises
    UserError for a polygon with less than three corners.
    """
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise UserError(where, "a polygon is a list of at least three x, y")
    filled: Any = mask.merge(mask.frPyObjects(polygons, *frame))  # type: ignore[call-overload]
    return np.array(decompress(filled["counts"].decode("ascii")), np.int64)


def mask_runs(inside: np.ndarray, frame: tuple[int, int], left: int = 0, top: int = 0) -> np.ndarray:
    """(N,) int64: the run lengths of a mask, up to its last pixel. inside: (h, w) bool, a part of the picture. frame:
    (H, W) of the picture. left, top: where the part begins."""
    height, width = inside.shape
    columns = np.zeros((width, height + 2), bool)  # with a pixel outside at both ends of each column
    columns[:, 1:-1] = inside.T
    column, row = np.divmod(np.flatnonzero(columns[:, 1:] != columns[:, :-1]), height + 1)
    return np.diff((left + column) * frame[0] + top + row, prepend=0)


def box_runs(
    frame: tuple[int, int],
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    degrees: float = 0,
    about: complex | None = None,
) -> np.ndarray:
    """(N,) int64: the run lengths of the pixels that a box touches, or of the inside of a turned box. frame: (H, W) of
    the picture. left, top, right, bottom: in pixels. degrees: how far the box is turned clockwise. about: the point
    x + yi about which it is turned; None: its centre."""
    if degrees % 360 == 0:
        left = math.floor(left)
        top = math.floor(top)
        right = math.ceil(right)
        bottom = math.ceil(bottom)
    if about is None:
        about = complex(left + right, top + bottom) / 2
    corners = np.array([left + top * 1j, right + top * 1j, right + bottom * 1j, left + bottom * 1j])
    turned = (about + (corners - about) * cmath.rect(1, math.radians(degrees))).round(6)
    return polygon_runs([turned.view(np.float64).tolist()], frame, "a box")


def ellipse_runs(
    frame: tuple[int, int], centre: complex, across: float, down: float, degrees: float, where: str
) -> np.ndarray:
    """(N,) int64: the run lengths of an ellipse. frame: (H, W) of the picture. centre: the point x + yi. across, down:
    the radii before the turn. degrees: the clockwise turn. where: the ellipse's name in errors."""
    turns = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    outline = (across * np.cos(turns) + down * 1j * np.sin(turns)) * cmath.rect(1, math.radians(degrees)) + centre
    return polygon_runs([outline.view(np.float64).tolist()], frame, where)


def encode_brush(inside: np.ndarray) -> bytes:
    """The brush's stream of a mask (H, W) bool, byte for byte as `label_studio_sdk.converter.brush.mask2rle` writes
    it."""
    flat = inside.ravel()
    begins = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    lengths = np.diff(begins, append=flat.size) * CHANNELS
    bits = [f"{flat.size * CHANNELS:032b}{WORD_BITS - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    bits += map(_run, lengths.tolist(), flat[begins].tolist())
    text = "".join(bits)
    count = len(text) // 8 + 1
    return int(text.ljust(8 * count, "0"), 2).to_bytes(count, "big")


@lru_cache(1 << 11)
def _run(count: int, inside: bool) -> str:
    """The blocks of a run of equal values, as a text of 0 and 1. count: the number of values. inside: whether they are
    255 or 0."""
    # All blocks of a run that is too long for one block have the largest size.
    kind = next((kind for kind, size in enumerate(SIZES) if count <= 1 << size), len(SIZES) - 1)
    size = SIZES[kind]
    bits = ""
    while count:
        length = min(count, 1 << size)
        bits += f"1{kind:02b}{length - 1:0{size}b}{255 * inside:08b}"
        count -= length
    return bits


def decode_brush(stream: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The mask (H, W) bool in a brush's stream. shape: (H, W) of the picture. Raises ValueError for an invalid stream,
    and for a mask of another shape."""
    bits = iter("".join([f"{byte:08b}" for byte in stream]))

    def take(count: int) -> int:
        """The number in the next `count` bits."""
        taken = "".join(islice(bits, count))
        if len(taken) < count:
            raise ValueError("it is truncated")
        return int(taken, 2)

    count = take(32)
    word = take(5) + 1
    sizes = [take(4) + 1 for _ in SIZES]
    if count != shape[0] * shape[1] * CHANNELS:
        raise ValueError(f"it has {count} values, not {CHANNELS} for each of {shape[0]} × {shape[1]} pixels")
    if word != WORD_BITS:
        raise ValueError(f"its values have {word} bits, not {WORD_BITS}")
    values = bytearray()
    while len(values) < count:
        repeated = take(1)
        length = take(sizes[take(2)]) + 1
        if repeated:
            values += bytes([take(WORD_BITS)]) * length
        else:
            values += take(WORD_BITS * length).to_bytes(length, "big")
    return np.frombuffer(values, np.uint8).reshape(*shape, CHANNELS)[..., 3] > 0
