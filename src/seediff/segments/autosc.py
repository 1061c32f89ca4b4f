"""Spectral clustering that chooses the number of segments by the largest gap between eigenvalues, then applies `cluster_qr`.

The baseline "AutoSC" that DiffCut and Falcon are compared with.
"""

from __future__ import annotations

import numpy as np

from ..config.constants import SegmentConfig
from .graph import TIE, Graph, cluster_qr


def divide(graph: Graph, config: SegmentConfig) -> np.ndarray:
    """The part (N,) of each position."""
    values, vectors = graph.spectrum
    return cluster_qr(vectors[:, : eigengap(values)])


def eigengap(values: np.ndarray) -> int:
    """The number of parts, at least 2: how many of the descending eigenvalues (n,) come before the largest gap. The gap after the first is
    not counted: it is 1 − λ2, which is large for most pictures. 1, for a graph without parts, if only the first eigenvalue is above 0."""
    if len(values) < 2 or values[1] <= TIE:
        return 1
    gaps = -np.diff(values[1:], append=values[-1])
    return 2 + int(np.argmax(gaps >= gaps.max() - TIE))
