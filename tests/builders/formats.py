"""The dataset formats, for tests that try each of them."""

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
"""EVERY, and formats that can only be imported."""
LOSSY = ("yolo",)
"""Formats of polygons, from which label maps come back only approximately, and very small pieces not at all."""
PACKAGES = {"parquet": "pyarrow"}
"""Format → the package that writes it, if it may be missing."""


def export(name: str, classes: Sequence[str], samples: Iterable[Sample], out: Path, **options: Any) -> Exported:
    """Export with `Dataset.as_NAME`."""
    return getattr(Dataset(classes, list(samples)), f"as_{name}")(out, **options)


def imported(
    name: str, path: Path, *, note: Callable[[str], None] = print, **options: Any
) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes and samples of `Dataset.from_NAME`; `note` is called with each of its notes."""
    dataset = getattr(Dataset, f"from_{name}")(path, **options)
    for line in dataset.notes:
        note(line)
    return parts(dataset)


def opened(path: Path, split: str | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes and samples of `Dataset.open`."""
    return parts(Dataset.open(path, split=split))


def parts(dataset: Dataset) -> tuple[tuple[str, ...], list[Sample]]:
    return dataset.classes, dataset.samples


def needs(name: str) -> None:
    """Skip the test if the format cannot be written here."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f"{PACKAGES[name]} is not installed")
