"""Masks of Label Studio's brush: the values of a four-channel picture, row by row, as a stream of bits in blocks. The
fourth channel is the mask.

A stream begins with the number of values (32 bits), the bits per value minus one (5), and four possible widths of a
block's length field in bits minus one (4 each). A block has a bit (1: one repeated value, 0: different values), the
index of its width (2 bits), the number of its values minus one, and the value or values.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import islice

import numpy as np

WORD, SIZES, CHANNELS = 8, (3, 4, 8, 16), 4


def encode_brush(inside: np.ndarray) -> bytes:
    """The stream of a mask (H, W) bool, as `label_studio_sdk.converter.brush.mask2rle` encodes it."""
    flat = inside.ravel()
    begins = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    lengths = np.diff(begins, append=flat.size) * CHANNELS
    bits = [f"{flat.size * CHANNELS:032b}{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    bits += map(_run, lengths.tolist(), flat[begins].tolist())
    text = "".join(bits)
    count = len(text) // 8 + 1
    return int(text.ljust(8 * count, "0"), 2).to_bytes(count, "big")


@lru_cache(1 << 11)
def _run(left: int, value: bool) -> str:
    """The bits of the blocks of a run."""
    # The last part of a run that is cut has the longest size, too.
    kind = next((kind for kind, size in enumerate(SIZES) if left <= 1 << size), len(SIZES) - 1)
    size, bits = SIZES[kind], ""
    while left:
        part = min(left, 1 << size)
        bits += f"1{kind:02b}{part - 1:0{size}b}{255 * value:08b}"
        left -= part
    return bits


def decode_brush(stream: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The mask (H, W) bool of a stream. Raises ValueError for one that is invalid or has another shape."""
    bits = iter("".join([f"{byte:08b}" for byte in stream]))

    def take(count: int) -> int:
        """The number that the next bits are."""
        taken = "".join(islice(bits, count))
        if len(taken) < count:
            raise ValueError("it is truncated")
        return int(taken, 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in SIZES]
    if count != shape[0] * shape[1] * CHANNELS:
        raise ValueError(f"it has {count} values, not {CHANNELS} for each of {shape[0]} × {shape[1]} pixels")
    if word != WORD:
        raise ValueError(f"its values have {word} bits, not {WORD}")
    values = bytearray()
    while len(values) < count:
        repeated = take(1)
        length = take(sizes[take(2)]) + 1
        if repeated:
            values += bytes([take(WORD)]) * length
        else:
            values += take(WORD * length).to_bytes(length, "big")
    if len(values) > count:
        raise ValueError(f"it has more than the {count} values that it says")
    return np.frombuffer(values, np.uint8).reshape(*shape, CHANNELS)[..., 3] > 0
