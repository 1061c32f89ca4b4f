"""Masks as CVAT writes them: run lengths within the box around a mask, row by row, the first of them outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
