"""Writes and reads Parquet files that `datasets.load_dataset` loads as pictures. Pictures, label maps, rows and classes
come back exactly.

out/  README.md                         card with the features, for `load_dataset(out)` and the Hugging Face hub
      data/train-00000.parquet          columns: image and label_map, pictures; name; metadata, a row of
                                        metadata.jsonl as JSON
      data/validation-00000.parquet     the samples for validation, likewise test-00000.parquet
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.names import BACKGROUND
from ...errors import UserError, first_line
from ...files.documents import parse_json
from ...files.outputs import name_errors
from .. import native
from ..rows import check_class_list
from ..sample import SPLITS, Sample
from .drivers import Export, Source
from .known import load_extra
from .label_files import HUB_SPLITS, Own, from_record, hub_card, palette, parse_row, row_text

if TYPE_CHECKING:
    from datasets import Dataset

FEATURES = {
    "image": {"_type": "Image"},
    "label_map": {"_type": "Image"},
    "name": {"dtype": "string", "_type": "Value"},
    "metadata": {"dtype": "string", "_type": "Value"},
}
GROUP, GROUP_BYTES = 100, 64_000_000
"""Maximum samples and bytes of a row group, which readers load whole to show one sample; a single one may be larger."""


def write(export: Export, *, shard_size: int = 500_000_000) -> None:
    """Parquet files that `datasets.load_dataset` reads. shard_size: approximate size of a file in bytes."""
    parquet, pa = load_extra("pyarrow.parquet", "hf"), load_extra("pyarrow", "hf")
    if shard_size < 1:
        raise UserError("shard_size", f"{shard_size} must be at least one byte")
    (export.folder / "data").mkdir()
    schema = _schema(export.classes)
    placed = export.placed(palette, key=lambda name, split: SPLITS.index(split))
    for split, samples in groupby(placed, key=lambda one: one.split):
        number = 0
        records = (
            {
                "image": {"bytes": one.sample.data(), "path": one.file_name},
                "label_map": {"bytes": one.data, "path": f"{one.name}.png"},
                "name": one.name,
                "metadata": row_text(one.sample.metadata),
            }
            for one in samples
        )
        record = next(records, None)
        while record:
            path, size = export.folder / "data" / f"{HUB_SPLITS[split]}-{number:05d}.parquet", 0
            with (
                name_errors(path),
                path.open("xb") as file,
                parquet.ParquetWriter(file, schema, compression="none", write_statistics=False) as writer,
            ):
                while record and size < shard_size:
                    group, end = [], min(size + GROUP_BYTES, shard_size)
                    while record and len(group) < GROUP and size < end:
                        group.append(record)
                        pictures = record["image"]["bytes"], record["label_map"]["bytes"]
                        size += sum(map(len, (*pictures, record["metadata"])))
                        record = next(records, None)
                    writer.write_table(pa.Table.from_pylist(group, schema=schema))
            number, export.files = number + 1, export.files + 1
    export.put(native.CARD, _card(export.classes, [HUB_SPLITS[split] for split in export.parts]))


def _schema(classes: Sequence[str]) -> Any:
    """The columns. The metadata holds the features, by which `datasets` makes pictures, and the classes."""
    pa = load_extra("pyarrow", "hf")
    kinds = {"Image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]), "Value": pa.string()}
    stated = {"huggingface": {"info": {"features": FEATURES}}, "seediff": {"classes": list(classes)}}
    stated = {key: json.dumps(value) for key, value in stated.items()}
    return pa.schema([(name, kinds[kind["_type"]]) for name, kind in FEATURES.items()], metadata=stated)


def _card(classes: Sequence[str], words: Sequence[str]) -> str:
    files = "".join(f"  - split: {word}\n    path: data/{word}-*.parquet\n" for word in words)
    features = "".join(
        f"  - name: {name}\n    dtype: {kind.get('dtype', 'image')}\n" for name, kind in FEATURES.items()
    )
    configs = f"configs:\n- config_name: default\n  data_files:\n{files}" if files else ""
    return hub_card(classes, f"{configs}dataset_info:\n  features:\n{features}")


def is_folder(folder: Path) -> bool:
    return any(folder.rglob("*.parquet"))


def read(source: Source, *, split: str | None = None) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """A folder of parquet files, or one of them. split: "train", "val" or "test"; None: all."""
    path = source.path
    if split is not None and split not in HUB_SPLITS:
        raise UserError("split", f"{split} must be one of {', '.join(HUB_SPLITS)}")
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    files = [file for file in files if split in (None, _split_of(file))]
    if not files:
        named = f" of split '{split}', whose names begin with {HUB_SPLITS[split]}" if split else ""
        raise UserError(path, f"has no parquet files{named}")
    classes = _read_classes(files[0])
    for file in files[1:]:
        if _read_classes(file) != classes:
            raise UserError(file, f"its classes differ from those of {files[0]}")
    return classes, _samples(source, files)


def _split_of(file: Path) -> str | None:
    return next((split for split, word in HUB_SPLITS.items() if file.name.startswith((f"{word}-", f"{word}."))), None)


def _samples(source: Source, files: Sequence[Path]) -> Iterator[Sample]:
    for file in files:
        number, split = 0, _split_of(file)
        with _open(file) as opened:
            # One row at a time, because a page of a few bytes may stand for a hundred rows with the same large picture.
            for batch in opened.iter_batches(batch_size=1, columns=list(FEATURES)):
                for record in batch.to_pylist():
                    number += 1
                    where = f"{file}, row {number}"
                    image, mask = (record[key] and record[key]["bytes"] for key in ("image", "label_map"))
                    if not image or not mask or not record["name"]:
                        raise UserError(where, "'image', 'label_map' and 'name' must not be empty")
                    own = Own(record["name"], parse_row(record["metadata"], split, where))
                    yield from_record(source, own, image, mask, where)


@contextmanager
def _open(file: Path) -> Iterator[Any]:
    """The file as pyarrow reads it."""
    parquet, pa = load_extra("pyarrow.parquet", "hf"), load_extra("pyarrow", "hf")
    if file.exists() and not file.is_file():
        raise UserError(file, "is not a regular file")
    try:
        with parquet.ParquetFile(file) as opened:
            yield opened
    except (pa.ArrowException, OSError, UnicodeError) as error:  # also for a name that is not UTF-8
        raise UserError(file, f"cannot be read as parquet ({first_line(error)})") from error


def _read_classes(file: Path) -> tuple[str, ...]:
    """The classes in a file's metadata."""
    with _open(file) as opened:
        schema = opened.schema_arrow
    for column in _schema(()):
        if schema.names.count(column.name) != 1 or schema.field(column.name).type != column.type:
            raise UserError(
                file, f"must have a column '{column.name}', {column.type}; it has {', '.join(schema.names)}"
            )
    if (stated := (schema.metadata or {}).get(b"seediff")) is None:
        raise UserError(file, "does not say its classes (metadata key 'seediff' of the schema)")
    classes = tuple(parse_json(stated, dict[str, list[str]], f"{file}, metadata key 'seediff'").get("classes", ()))
    check_class_list(classes, file)
    return classes


def hub_table(samples: Sequence[Sample], classes: Sequence[str]) -> Dataset:
    """The table that `seediff.Dataset.as_datasets` returns."""
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
    records = [_hub_row(sample, classes) for sample in samples]
    columns = {name: [record[name] for record in records] for name in features}  # also without a sample
    return datasets.Dataset.from_dict(columns, features=features)


def _hub_row(sample: Sample, classes: Sequence[str]) -> dict[str, Any]:
    labels = sample.labels(len(classes))
    row, file = sample.row(labels, classes), sample.file()  # a file is read only when the picture is accessed
    name = str(file.absolute()) if file else f"{sample.name}.{sample.suffix}"
    return {
        "image": {"bytes": None if file else sample.data(), "path": name},
        "label_map": {"bytes": native.encode_mask(labels), "path": f"{sample.name}.png"},
        "class_ids": row["class_ids"],
        "name": sample.name,
        "metadata": row_text(row),
    }
