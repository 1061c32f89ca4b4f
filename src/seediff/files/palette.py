"""The colours of label maps: Pascal VOC's own, so that masks look the same in every viewer of the field."""

from __future__ import annotations

from functools import cache


@cache  # a millisecond otherwise, which is longer than a mask takes to be encoded
def voc_palette() -> list[int]:
    """VOC's 256 colours as 768 values in [0, 255] (R, G, B, R, …), as Pillow's `putpalette` takes them.

    Entry 0 (background) is black, entry 255 (ignore) is VOC's cream (224, 224, 192).
    """
    colours = []
    for label in range(256):
        # The label's bits, lowest first, go in turn to red, green and blue, from each colour's highest bit down.
        for channel in range(3):
            colours.append(sum(((label >> (3 * i + channel)) & 1) << (7 - i) for i in range(3)))
    return colours


def segment_palette() -> list[int]:
    """VOC's colours moved by one for maps without a background: segment 0 is not black, and entry 255 (in no segment) is."""
    return [*voc_palette()[3:], 0, 0, 0]
