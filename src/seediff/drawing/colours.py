"""The colours in which masks are shown. Files of masks keep VOC's palette, most of whose colours are dark."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..files.label_maps import IGNORE

BRIGHT = (
    "ff870f", "783cff", "b4b4ff", "c32d78", "d2ffa5", "5ab4a5", "ff0f0f", "b4fff0", "e1ff1e", "3c78a5",
    "7878e1", "3c870f", "96e196", "a5e1ff", "9696ff", "5a96b4", "d2d22d", "b47869", "3cc369", "69d2c3",
)  # fmt: skip
"""Twenty bright colours, which people with red-green blindness can tell apart, too; the first are the most distinct."""
GREYS = ("f5f5f5", "a0a0a0", "d2d2d2", "787878", "e1dcd2", "8c8c96")
"""Colours of segments without a name, if classes have bright colours."""
IGNORED = "e0e0c0"
UNNAMED = 201
"""The first id that is shown in grey; lower ids repeat the bright colours."""


@lru_cache(maxsize=1)
def mask_colours() -> np.ndarray:
    """(256, 3) uint8: the colour of each id of a label map. Read-only."""
    classes = [BRIGHT[number % len(BRIGHT)] for number in range(UNNAMED - 1)]
    unnamed = [GREYS[number % len(GREYS)] for number in range(IGNORE - UNNAMED)]
    table = np.array([list(bytes.fromhex(one)) for one in ("000000", *classes, *unnamed, IGNORED)], np.uint8)
    table.setflags(write=False)
    return table


def is_dark() -> np.ndarray:
    """(256,) bool: which ids have dark colours, around which white is seen best."""
    return mask_colours() @ np.array([0.299, 0.587, 0.114]) <= 128


def css_colour(label: int) -> str:
    """The colour of an id in CSS: #rrggbb."""
    return f"#{mask_colours()[label].tobytes().hex()}"


def shown_ids(label_map: np.ndarray, numbers: np.ndarray, unnamed: int, *, alone: bool) -> np.ndarray:
    """(H, W) uint8: a label map to show, in which each segment without a name has an id of its own.

    numbers: (H, W), the number of each pixel's object; 0: no object. unnamed: the id of segments without a name. alone:
    there is no other class, so that segments may have bright colours; otherwise they are grey.
    """
    first, last = (1, UNNAMED) if alone else (UNNAMED, IGNORE)
    own = (numbers - 1) % (last - first) + first
    return np.where((label_map == unnamed) & (numbers > 0), own, label_map).astype(np.uint8)
