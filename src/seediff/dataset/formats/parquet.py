"""Tables of Hugging Face's `datasets`: in memory, and as parquet files that `load_dataset` and the hub read. Pictures,
label maps, rows and classes come back exactly.

out/  README.md                    card with the classes, for the hub
      data/train-00000.parquet     a row per sample; likewise validation-00000.parquet, test-00000.parquet
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.names import BACKGROUND
from ...errors import UserError, first_line
from ...files.documents import parse_json
from .. import native
from ..encoding import decode_label_map
from ..rows import check_class_list, check_row
from ..sample import Sample, open_own
from ..split import split_of
from .drivers import Export, Source
from .known import load_extra

if TYPE_CHECKING:
    from datasets import Dataset

WORDS = {"train": "train", "val": "validation", "test": "test"}
"""Split → its name on the hub."""
GROUP = 100
"""Samples in a row group, which readers load whole to show one sample."""


def as_table(samples: Sequence[Sample], classes: Sequence[str]) -> Dataset:
    """The table that `seediff.Dataset.as_datasets` returns."""
    datasets = load_extra("datasets", "hf")
    columns = {
        "image": datasets.Image(),
        "label_map": datasets.Image(),
        "class_ids": datasets.List(datasets.ClassLabel(names=[BACKGROUND, *classes])),
        "name": datasets.Value("string"),
        "metadata": datasets.Value("string"),
    }
    rows = [_row(sample, classes) for sample in samples]
    return datasets.Dataset.from_dict(
        {name: [row[name] for row in rows] for name in columns}, features=datasets.Features(columns)
    )


def _row(sample: Sample, classes: Sequence[str], *, whole: bool = False) -> dict[str, Any]:
    """whole: the picture's bytes, also of a file."""
    labels = sample.labels(len(classes))
    row, file = sample.row(labels, classes), None if whole else sample.file()
    return {
        "image": {
            "bytes": None if file else sample.data(),
            "path": str(file.absolute()) if file else f"{sample.name}.{sample.suffix}",
        },
        "label_map": {"bytes": native.encode_mask(labels), "path": f"{sample.name}.png"},
        "class_ids": row["class_ids"],
        "name": sample.name,
        "metadata": json.dumps(dict(sample.metadata) if whole else row, ensure_ascii=False),
    }


def write(export: Export) -> None:
    """Parquet files that `datasets.load_dataset` reads."""
    parquet = load_extra("pyarrow.parquet", "hf")
    (export.folder / "data").mkdir()
    schema = as_table((), export.classes).features.arrow_schema
    with_samples = export.placed(partial(_row, whole=True))
    writers: dict[str, Any] = {}
    groups: dict[str, list[dict[str, Any]]] = {split: [] for split in export.parts}

    def flush(split: str) -> None:
        writers[split].write_table(load_extra("pyarrow", "hf").Table.from_pylist(groups[split], schema=schema))
        groups[split].clear()

    for split in export.parts:
        path = export.folder / "data" / f"{WORDS[split]}-00000.parquet"
        writers[split] = export.stack.enter_context(parquet.ParquetWriter(path, schema, compression="none"))
        export.files += 1
    for placed in with_samples:
        groups[placed.split].append({**placed.data, "name": placed.name})
        if len(groups[placed.split]) == GROUP:
            flush(placed.split)
    for split in export.parts:
        flush(split)
    ids = "".join(
        f"{i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate([BACKGROUND, *export.classes])
    )
    export.put(
        native.CARD,
        f"# Images with segmentation masks\n\n`label_map` holds class ids, 255 where ignored:\n\n```yaml\n{ids}```\n",
    )


def is_folder(folder: Path) -> bool:
    return any(folder.rglob("*.parquet"))


def read(source: Source, *, split: str | None = None) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """A folder of parquet files with the columns that SeeDiff writes, or one of them. split: "train", "val" or "test";
    None: all."""
    if split not in (None, *WORDS):
        raise UserError("split", f"{split} must be one of {', '.join(WORDS)}")
    files = sorted(source.path.rglob("*.parquet")) if source.path.is_dir() else [source.path]
    files = [file for file in files if split in (None, _part(file))]
    if not files:
        raise UserError(source.path, "has no parquet files" + (f" of split '{split}'" if split else ""))
    lists = [_classes(file) for file in files]
    if other := next((file for file, classes in zip(files, lists, strict=True) if classes != lists[0]), None):
        raise UserError(other, f"its classes differ from those of {files[0]}")
    check_class_list(lists[0], files[0])
    return lists[0], (_sample(source, row, f"{file}, row {n}", _part(file)) for file in files for n, row in _rows(file))


def _part(file: Path) -> str | None:
    return next((split for split, word in WORDS.items() if file.name.startswith((f"{word}-", f"{word}."))), None)


def _classes(file: Path) -> tuple[str, ...]:
    parquet, datasets = load_extra("pyarrow.parquet", "hf"), load_extra("datasets", "hf")
    try:
        features = datasets.Features.from_arrow_schema(parquet.read_schema(file))
        return tuple(features["class_ids"].feature.names[1:])
    except (KeyError, AttributeError) as error:
        raise UserError(file, "does not say its classes, in the feature 'class_ids'") from error
    except Exception as error:  # pyarrow's, OSError, UnicodeError
        raise UserError(file, f"cannot be read as parquet ({first_line(error)})") from error


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    # One row at a time, because a page of a few bytes may stand for a hundred rows with the same large picture.
    with load_extra("pyarrow.parquet", "hf").ParquetFile(file) as opened:
        batches = opened.iter_batches(batch_size=1, columns=["image", "label_map", "name", "metadata"])
        yield from enumerate((batch.to_pylist()[0] for batch in batches), 1)


def _sample(source: Source, record: dict[str, Any], where: str, split: str | None) -> Sample:
    image, mask = ((record.get(key) or {}).get("bytes") for key in ("image", "label_map"))
    if not image or not mask or not record.get("name"):
        raise UserError(where, "'image', 'label_map' and 'name' must not be empty")
    with open_own(image, f"{where}: its image"):
        pass
    row = parse_json(record["metadata"] or "{}", dict[str, Any], f"{where}: its metadata")
    check_row(row, f"{where}, metadata")
    row = row if split in (None, split_of(row)) else {**row, "split": split}
    return source.sample(record["name"], image, partial(decode_label_map, mask, f"{where}: its label map"), row, where)
