"""The dataset formats, for tests that try each of them."""

from typing import get_args

from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.format_table import FormatName, SourceName

WRITTEN, READ = get_args(FormatName), get_args(SourceName)
"""Formats that are exported, and formats that are imported."""
EVERY = tuple(name for name in WRITTEN if name in READ)
"""Formats that are both."""
LOSSY = ("yolo",)
"""Formats of polygons, from which label maps come back only approximately, and very small pieces not at all."""


def export(name, classes, samples, out, /, **options):
    """Export with `Dataset.export`."""
    return Dataset(classes, list(samples)).export(name, out, **options)


def imported(name, path, *, note=print, **options):
    """Classes and samples of `Dataset.open`; `note` is called with each of its notes."""
    dataset = Dataset.open(path, name, **options)
    for line in dataset.notes:
        note(line)
    return parts(dataset)


def opened(path, split=None):
    """Classes and samples of `Dataset.open`."""
    return parts(Dataset.open(path, split=split))


def parts(dataset):
    return dataset.classes, dataset.samples
