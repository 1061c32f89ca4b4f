"""A dataset as a table of Hugging Face's `datasets`, with typed columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..config.names import BACKGROUND
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
    columns = {name: [record[name] for record in records] for name in features}
    return datasets.Dataset.from_dict(columns, features=features)


def _record(sample: Sample, classes: Sequence[str]) -> dict[str, Any]:
    labels = sample.labels(len(classes))
    row = sample.row(labels, classes)
    return {
        "image": _picture(sample),
        "label_map": {"bytes": sample.mask_data(labels), "path": f"{sample.name}.png"},
        "class_ids": row["class_ids"],
        "name": sample.name,
        "metadata": row_text(row),
    }


def _picture(sample: Sample) -> dict[str, Any]:
    """The picture's path if it is a file, so that it is read only when accessed, or else its bytes."""
    if file := sample.file():
        return {"bytes": None, "path": str(file.absolute())}
    return {"bytes": sample.data(), "path": f"{sample.name}.{sample.suffix}"}
