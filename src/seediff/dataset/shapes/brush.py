"""Masks of Label Studio's brush.

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

from functools import lru_cache
from itertools import islice

import numpy as np

WORD_BITS, SIZES, CHANNELS = 8, (3, 4, 8, 16), 4


def encode_brush(inside: np.ndarray) -> bytes:
    """The stream of a mask (H, W) bool, byte for byte as `label_studio_sdk.converter.brush.mask2rle` writes it."""
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
    size, bits = SIZES[kind], ""
    while count:
        length = min(count, 1 << size)
        bits += f"1{kind:02b}{length - 1:0{size}b}{255 * inside:08b}"
        count -= length
    return bits


def decode_brush(stream: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The mask (H, W) bool in a stream. shape: (H, W) of the picture. Raises ValueError for an invalid stream, and for
    a mask of another shape."""
    bits = iter("".join([f"{byte:08b}" for byte in stream]))

    def take(count: int) -> int:
        """The number in the next `count` bits."""
        taken = "".join(islice(bits, count))
        if len(taken) < count:
            raise ValueError("it is truncated")
        return int(taken, 2)

    count, word = take(32), take(5) + 1
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
