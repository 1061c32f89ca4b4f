"""The formats that are registered, for tests that try each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.drivers import Exported
from seediff.dataset.formats.known import FormatName, SourceName
from seediff.dataset.sample import Sample

EVERY: tuple[FormatName, ...] = get_args(FormatName)
READ: tuple[SourceName, ...] = get_args(SourceName)
"""Those, and formats that are only read."""
LOSSY = ("yolo",)
"""Polygons, so that label maps come back nearly, and smaller pieces than that not at all."""
PACKAGES = {"parquet": "pyarrow"}
"""Format → what writes it, where that may not be installed."""


def export(name: str, classes: Sequence[str], samples: Iterable[Sample], out: Path, **options: Any) -> Exported:
    """`Dataset.as_NAME`."""
    return getattr(Dataset(classes, list(samples)), f"as_{name.replace('-', '_')}")(out, **options)


def imported(name: str, path: Path, *, note: Callable[[str], None] = print, **options: Any) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes and samples of `Dataset.from_NAME`; `note` is called with each of its notes."""
    dataset = getattr(Dataset, f"from_{name.replace('-', '_')}")(path, **options)
    for line in dataset.notes:
        note(line)
    return parts(dataset)


def opened(path: Path, split: str | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes and samples of `Dataset.open`."""
    return parts(Dataset.open(path, split=split))


def parts(dataset: Dataset) -> tuple[tuple[str, ...], list[Sample]]:
    return dataset.classes, dataset.samples


def needs(name: str) -> None:
    """Skip the test where the format cannot be written."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed")
