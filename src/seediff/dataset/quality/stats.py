"""Statistics of a dataset, counted from its label maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...files.label_maps import IGNORE
from ..shapes.objects import find_objects

AREA_BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.95, 1.0)
"""Edges of the bins for areas. `generate` flags masks in the first and the last bin as `degenerate`."""


@dataclass(frozen=True)
class Measured:
    """The measures of a label map."""

    size: tuple[int, int]
    """(height, width)."""
    counts: np.ndarray
    """(256,): the number of pixels of each id."""
    pieces: np.ndarray
    """(256,): the number of connected pieces of each id."""

    @property
    def areas(self) -> np.ndarray:
        """(256,) float64: the share of the picture that each id has, in [0, 1]."""
        return self.counts / self.counts.sum()


@dataclass(frozen=True)
class ClassStats:
    """The statistics of a class."""

    name: str
    images: int
    """Number of images with a pixel of the class."""
    pixels: float
    """Share of all pixels in the set."""
    mean_area: float | None
    """Mean share of the picture in these images; None if there are none."""
    mean_pieces: float | None
    """Mean number of connected pieces in these images; None if there are none."""
    areas: tuple[int, ...]
    """Number of images in each bin of AREA_BINS; the last bin includes both its edges."""


@dataclass(frozen=True)
class Stats:
    """The statistics of a set."""

    images: int
    """Number of images."""
    background: float
    """Share of all pixels that are background."""
    ignored: float
    """Share of all pixels that are ignored."""
    sizes: Mapping[str, int]
    """`height×width` → number of images."""
    classes: tuple[ClassStats, ...]

    def as_json(self) -> dict[str, Any]:
        """The statistics as values for `json.dumps`."""
        return {**asdict(self), "area_bins": list(AREA_BINS)}


def measure(labels: np.ndarray, min_piece: int = 1) -> Measured:
    """The measures of a label map (H, W) uint8. min_piece: pieces with fewer pixels are not counted."""
    pieces = np.bincount(find_objects(labels, min_piece).class_ids, minlength=256)
    return Measured((labels.shape[0], labels.shape[1]), np.bincount(labels.ravel(), minlength=256), pieces)


def summarize(samples: Sequence[Measured], classes: Sequence[str]) -> Stats:
    """The statistics of a dataset. samples: the measures of its label maps. classes: its classes, without the
    background."""
    total = sum((sample.counts for sample in samples), np.zeros(256, np.int64))
    shares = (total / max(total.sum(), 1)).tolist()
    return Stats(
        images=len(samples),
        background=shares[0],
        ignored=shares[IGNORE],
        sizes=dict(Counter(f"{sample.size[0]}×{sample.size[1]}" for sample in samples).most_common()),
        classes=tuple(_class_stats(samples, i, name, shares[i]) for i, name in enumerate(classes, 1)),
    )


def _class_stats(samples: Sequence[Measured], class_id: int, name: str, pixels: float) -> ClassStats:
    """The statistics of a class. samples: the measures of the label maps. class_id, name: the class. pixels: its share
    of all pixels."""
    showing = [(sample.areas[class_id], sample.pieces[class_id]) for sample in samples if sample.counts[class_id]]
    areas, pieces = np.array(showing, np.float64).reshape(-1, 2).T
    return ClassStats(
        name=name,
        images=len(showing),
        pixels=pixels,
        mean_area=float(areas.mean()) if showing else None,
        mean_pieces=float(pieces.mean()) if showing else None,
        areas=tuple(np.histogram(areas, AREA_BINS)[0].tolist()),
    )
