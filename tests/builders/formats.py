"""The formats that are registered, for tests that try each of them."""

from __future__ import annotations

from typing import get_args

import pytest

from seediff.dataset.formats.known import FormatName

EVERY: tuple[FormatName, ...] = get_args(FormatName)
LOSSY = ("yolo",)
"""Polygons, so that label maps come back nearly, and smaller pieces than that not at all."""
EXACT = tuple(name for name in EVERY if name not in LOSSY)
PACKAGES = {"parquet": "pyarrow"}
"""Format → what writes it, where that may not be installed."""


def needs(name: str) -> None:
    """Skip the test where the format cannot be written."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed")
