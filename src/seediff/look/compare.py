"""Compares a set's label maps with other label maps of the same pictures: how much they differ, and in which classes.

Samples are matched by name, classes by name. Pixels that either side ignores (255) are left out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset.native import IGNORE
from ..dataset.reviews import in_effect
from ..errors import UserError
from ..metrics.confusion import joint_counts
from .samples import Subject, open_subject


@dataclass(frozen=True)
class Difference:
    """How two label maps differ. different: the share of pixels whose classes differ; 0 if all pixels are ignored.
    both, either: (255,) for each class, the number of pixels that have it in both maps, and in at least one."""

    different: float
    both: np.ndarray
    either: np.ndarray


def difference(here: np.ndarray, there: np.ndarray) -> Difference:
    """The difference between two label maps (H, W) uint8."""
    table = joint_counts(here, there)[:IGNORE, :IGNORE]
    both, pixels = np.diagonal(table).copy(), max(1, int(table.sum()))
    return Difference(
        (pixels - int(both.sum())) / pixels if table.any() else 0.0, both, table.sum(0) + table.sum(1) - both
    )


class Comparison:
    """Another set's label maps, with the first set's class ids, and the differences that are known so far. classes: the
    first set's, then those that only the other set has. different: (count,), NaN where not known.

    Corrected masks replace the originals, unless both are the same set: then current masks are compared with the
    originals.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        other = open_subject(folder)
        for one in (subject, other):
            if not one.editable:
                raise UserError("compare", f"the label maps of {one.folder} number segments and name no class")
        self.subject = other
        self.before = subject.folder.resolve() == other.folder.resolve()
        self.classes = (*subject.classes, *(name for name in other.classes if name not in subject.classes))
        if len(self.classes) > IGNORE - 1:
            raise UserError("compare", f"both sets have {len(self.classes)} classes; at most {IGNORE - 1} are possible")
        self._ids = np.arange(256, dtype=np.uint8)
        self._ids[1 : len(other.classes) + 1] = [self.classes.index(name) + 1 for name in other.classes]
        corrected = {} if self.before else in_effect(other.folder)
        self._masks = {sample.name: (sample.mask, None) for sample in other.samples}
        self._masks |= {
            name: (action.mask, action.hash)
            for name, action in corrected.items()
            if action.mask and name in self._masks
        }
        self.missing = sum(sample.name not in self._masks for sample in subject.samples)
        if self.missing == len(subject.samples):
            raise UserError("compare", f"no sample of {other.folder} has the name of one of {subject.folder}")
        self.lock = threading.Lock()
        self._known: dict[int, Difference] = {}
        self._both, self._either = np.zeros(IGNORE, np.int64), np.zeros(IGNORE, np.int64)
        self.different = np.full(len(subject.samples), np.nan, np.float32)

    def labels(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """(H, W) uint8: the other label map of a sample. Raises UserError if there is none of this shape."""
        if name not in self._masks:
            raise UserError(f"{self.subject.folder} has no sample '{name}'")
        labels = self._ids[self.subject.read_labels(*self._masks[name])]
        if labels.shape != shape:
            raise UserError(f"sample '{name}': its map in {self.subject.folder} is {labels.shape}, this one {shape}")
        return labels

    @property
    def about(self) -> dict[str, Any]:
        """The other masks' name and classes, for the page."""
        name = "before corrections" if self.before else self.subject.folder.resolve().name
        return {"name": name, "classes": self.classes}

    def put(self, number: int, found: Difference) -> Difference:
        with self.lock:
            if before := self._known.get(number):
                self._both -= before.both
                self._either -= before.either
            self._known[number] = found
            self._both += found.both
            self._either += found.either
            self.different[number] = found.different
        return found

    def total(self) -> dict[str, Any]:
        """Figures over all samples compared so far: their number, the IoU of each class, and the mean of the IoUs."""
        with self.lock:
            scores = self.scores(self._both, self._either)
            return {"compared": len(self._known), "missing": self.missing, **scores}

    def scores(self, both: np.ndarray, either: np.ndarray) -> dict[str, Any]:
        """The IoU of the background and of each class that either side shows, and the mean; the mean is null if neither
        shows any.
        """
        names = ("background", *self.classes)
        rows = [
            {"id": i, "name": name, "iou": round(float(both[i] / either[i]), 4)}
            for i, name in enumerate(names)
            if either[i]
        ]
        return {"classes": rows, "miou": round(float(np.mean([row["iou"] for row in rows])), 4) if rows else None}
