"""The colours of masks and of attention.

Masks are drawn in bright colours. The files of masks have VOC's palette, most of whose colours are dark.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..files.label_maps import IGNORE

BRIGHT = (
    "ff870f", "783cff", "b4b4ff", "c32d78", "d2ffa5", "5ab4a5", "ff0f0f", "b4fff0", "e1ff1e", "3c78a5",
    "7878e1", "3c870f", "96e196", "a5e1ff", "9696ff", "5a96b4", "d2d22d", "b47869", "3cc369", "69d2c3",
)  # fmt: skip
"""Twenty bright colours of classes, which people with red-green blindness can distinguish, too. The first differ
most."""
GREYS = ("f5f5f5", "a0a0a0", "d2d2d2", "787878", "e1dcd2", "8c8c96")
"""Colours of segments without a name, in pictures in which classes have the bright colours."""
IGNORED = "e0e0c0"
UNNAMED = 201
"""Ids from this one on are drawn in GREYS; the ids below it, in BRIGHT again and again."""

VIRIDIS_ANCHORS = (
    "440154", "481a6c", "472f7d", "414487", "39568c", "31688e", "2a788e", "23888e",
    "1f988b", "22a884", "35b779", "54c568", "7ad151", "a5db36", "d2e21b", "fde725",
)  # fmt: skip
"""Sixteen evenly spaced colours of viridis. Lightness grows evenly, so colour-blind readers see the same order."""


@lru_cache(maxsize=1)
def mask_colours() -> np.ndarray:
    """(256, 3) uint8: the colour of each id of a label map. Read-only."""
    classes = [BRIGHT[number % len(BRIGHT)] for number in range(UNNAMED - 1)]
    unnamed = [GREYS[number % len(GREYS)] for number in range(IGNORE - UNNAMED)]
    table = np.array([list(bytes.fromhex(one)) for one in ("000000", *classes, *unnamed, IGNORED)], np.uint8)
    table.setflags(write=False)
    return table


def css_colour(label: int) -> str:
    """The colour of an id in CSS: #rrggbb."""
    return f"#{mask_colours()[label].tobytes().hex()}"


def shown_ids(label_map: np.ndarray, regions: np.ndarray, unnamed: int, *, alone: bool) -> np.ndarray:
    """(H, W) uint8: the label map for drawing, in which each segment without a name has its own id, and so its own
    colour.

    label_map: (H, W) uint8. regions: (H, W), the number of each pixel's object; 0: no object. unnamed: the class id of
    segments without a name. alone: True: there is no other class, and the segments get bright colours. False: they get
    greys.
    """
    first, stop = (1, UNNAMED) if alone else (UNNAMED, IGNORE)  # ids from `first` on, below `stop`
    ids = (regions - 1) % (stop - first) + first  # if there are more objects than ids, ids repeat
    return np.where((label_map == unnamed) & (regions > 0), ids, label_map).astype(np.uint8)


@lru_cache(maxsize=1)
def heat_colours() -> np.ndarray:
    """(256, 3) uint8: the colour of each level of a heat map. Read-only."""
    anchors = np.array([list(bytes.fromhex(c)) for c in VIRIDIS_ANCHORS], np.float64)  # (16, 3)
    at = np.linspace(0, len(anchors) - 1, 256)
    table = np.stack([np.interp(at, np.arange(len(anchors)), c) for c in anchors.T], axis=1).round().astype(np.uint8)
    table.setflags(write=False)
    return table


def to_levels(values: np.ndarray) -> np.ndarray:
    """A map in uint8, from 0 to 255. values: in [0, 1], or bool; others are clipped, and NaN becomes 0."""
    return (np.clip(np.nan_to_num(values.astype(np.float64), nan=0.0), 0, 1) * 255).round().astype(np.uint8)
