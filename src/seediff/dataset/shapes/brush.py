"""Encodes and decodes the masks of Label Studio's brush: the values of a four-channel picture, row by row, as a stream
of bits in blocks. The fourth channel is the mask.

A stream begins with the number of values (32 bits), the bits per value minus one (5), and four possible widths of a
block's length field in bits minus one (4 each). A block has a bit (1: one repeated value, 0: different values), the
index of its width (2 bits), the number of its values minus one, and the value or values. The encoder's output is byte
for byte that of `label_studio_sdk.converter.brush.mask2rle`.
"""

from __future__ import annotations

import numpy as np

WORD, SIZES, CHANNELS = 8, (3, 4, 8, 16), 4
HEADER = 32 + 5 + 4 * len(SIZES)
"""Bits before the first block."""


def encode_brush(inside: np.ndarray) -> bytes:
    """The stream of a mask (H, W) bool: 255 inside and 0 outside in all four channels."""
    flat = inside.ravel()
    begins = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    lengths = np.diff(begins, append=flat.size) * CHANNELS
    values = flat[begins] * np.int64(255)
    longest = 1 << SIZES[-1]
    kinds = np.searchsorted(
        1 << np.array(SIZES[:-1]), lengths
    )  # the last part of a run that is cut has the longest size, too
    parts = -(-lengths // longest)
    lengths_of_parts = np.full(parts.sum(), longest)
    lengths_of_parts[np.cumsum(parts) - 1] = lengths - (parts - 1) * longest
    kinds, values = np.repeat(kinds, parts), np.repeat(values, parts)
    sizes = np.array(SIZES)[kinds]
    words = (((4 + kinds) << sizes) + lengths_of_parts - 1 << WORD) + values
    header = (flat.size * CHANNELS << 5) + WORD - 1
    for size in SIZES:
        header = (header << 4) + size - 1
    bits = np.concatenate([_bits(np.array([header]), np.array([HEADER])), _bits(words, 3 + sizes + WORD)])
    return np.packbits(np.append(bits, np.zeros(8 - len(bits) % 8, np.uint8))).tobytes()


def _bits(words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(sum of lengths,) uint8: the lowest bits of each word, the highest of these first."""
    ends = np.cumsum(lengths)
    shift = np.repeat(ends, lengths) - 1 - np.arange(ends[-1])
    return (np.repeat(words, lengths) >> shift & 1).astype(np.uint8)


def decode_brush(stream: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The mask (H, W) bool of a stream: where the fourth channel is not 0. Raises ValueError for a stream that is
    invalid or has another shape."""
    reader = _Reader(stream)
    count, word = reader.read(32), reader.read(5) + 1
    sizes = [reader.read(4) + 1 for _ in SIZES]
    if count != shape[0] * shape[1] * CHANNELS:
        raise ValueError(f"it has {count} values, not {CHANNELS} for each of {shape[0]} × {shape[1]} pixels")
    if word != WORD:
        raise ValueError(f"its values have {word} bits, not {WORD}")
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        same = reader.read(1)
        end = at + 1 + reader.read(sizes[reader.read(2)])
        if end > count:
            raise ValueError(f"it has more than the {count} values that it says")
        values[at:end] = reader.read(WORD) if same else reader.bytes(end - at)
        at = end
    return values.reshape(*shape, CHANNELS)[..., 3] > 0


class _Reader:
    """Reads a stream bit by bit. Raises ValueError at its end."""

    def __init__(self, stream: bytes) -> None:
        self.stream, self.at = stream, 0

    def read(self, bits: int) -> int:
        first, last = self.at >> 3, self.at + bits + 7 >> 3
        if last > len(self.stream):
            raise ValueError("it ends in the middle")
        self.at += bits
        return int.from_bytes(self.stream[first:last], "big") >> -self.at % 8 & (1 << bits) - 1

    def bytes(self, count: int) -> np.ndarray:
        first, last = self.at >> 3, self.at + 8 * count + 7 >> 3
        if last > len(self.stream):
            raise ValueError("it ends in the middle")
        bits = np.unpackbits(np.frombuffer(self.stream, np.uint8, last - first, first))[self.at % 8 :][: 8 * count]
        self.at += 8 * count
        return np.packbits(bits)
