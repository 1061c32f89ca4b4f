"""A dataset as a table of Hugging Face's `datasets`, with typed columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config.names import BACKGROUND
from .encoding import encode_mask
from .formats.known import load_extra
from .formats.label_files import row_text
from .sample import Sample

if TYPE_CHECKING:
    from datasets import Dataset


def hub_table(samples: Sequence[Sample], classes: Sequence[str]) -> Dataset:
    """The table that `seediff.Dataset.as_datasets` returns. Raises UserError naming a sample that cannot be used."""
    datasets = load_extra("datasets", "hf")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label_map": datasets.Image(),
            "class_ids": datasets.List(datasets.ClassLabel(names=[BACKGROUND, *classes])),
            "name": datasets.Value("string"),
            "metadata": datasets.Value("string"),
        }
    )
    records = [_record(sample, classes) for sample in samples]
    columns = {name: [record[name] for record in records] for name in features}  # also without a sample
    return datasets.Dataset.from_dict(columns, features=features)


def _record(sample: Sample, classes: Sequence[str]) -> dict[str, Any]:
    labels = sample.labels(len(classes))
    row, file = sample.row(labels, classes), sample.file()  # a file is read only when the picture is accessed
    name = str(file.absolute()) if file else f"{sample.name}.{sample.suffix}"
    return {
        "image": {"bytes": None if file else sample.data(), "path": name},
        "label_map": {"bytes": encode_mask(labels), "path": f"{sample.name}.png"},
        "class_ids": row["class_ids"],
        "name": sample.name,
        "metadata": row_text(row),
    }
