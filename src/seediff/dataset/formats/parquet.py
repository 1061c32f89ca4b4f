"""Tables of Hugging Face's `datasets` as parquet files, which `load_dataset` and the hub read. Pictures, label maps,
rows and classes come back exactly.

out/  README.md                    card with the classes, for the hub
      data/train-00000.parquet     a row per sample; likewise validation-00000.parquet, test-00000.parquet
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.names import BACKGROUND
from ...errors import UserError, first_line
from ...files.documents import fit, parse_json
from .. import native
from ..encoding import decode_label_map
from ..rows import check_class_list, check_row
from ..sample import Sample, open_own
from ..split import split_of
from .drivers import Contents, Export, Import

if TYPE_CHECKING:
    from datasets import Features

WORDS = {"train": "train", "val": "validation", "test": "test"}
"""Split → its name on the hub."""
GROUP = 100
"""Samples in a row group, which readers load whole to show one sample."""


def packages() -> tuple[Any, Any, Any]:
    """The modules datasets, pyarrow and pyarrow.parquet."""
    try:
        import datasets
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f'needs {error.name}: pip install "seediff[hf]"') from error
    return datasets, pyarrow, pyarrow.parquet


def features(classes: Sequence[str]) -> Features:
    """The schema of the table, as `datasets` states it; the ids of `class_ids` are those of the label maps."""
    datasets, *_ = packages()
    return datasets.Features(
        {
            "image": datasets.Image(),
            "label_map": datasets.Image(),
            "class_ids": datasets.List(datasets.ClassLabel(names=[BACKGROUND, *classes])),
            "name": datasets.Value("string"),
            "metadata": datasets.Value("string"),
        }
    )


def table_row(sample: Sample, classes: Sequence[str]) -> dict[str, Any]:
    """A sample as a row of the table."""
    labels = sample.labels(len(classes))
    row = sample.row(labels, classes)
    return {
        "image": {"bytes": sample.data(), "path": f"{sample.name}.{sample.suffix}"},
        "label_map": {"bytes": native.encode_mask(labels), "path": f"{sample.name}.png"},
        "class_ids": row["class_ids"],
        "name": sample.name,
        "metadata": json.dumps(dict(sample.metadata), ensure_ascii=False),
    }


def write(export: Export) -> None:
    """Parquet files that `datasets.load_dataset` reads, one per split."""
    _, pa, parquet = packages()
    (export.folder / "data").mkdir()
    schema = features(export.classes).arrow_schema
    placed_samples = export.placed(table_row)
    writers: dict[str, Any] = {}
    for split in export.parts:
        path = export.folder / "data" / f"{WORDS[split]}-00000.parquet"
        writers[split] = export.stack.enter_context(parquet.ParquetWriter(path, schema, compression="none"))
        export.files += 1
    # Rows are written in groups, and the rest of each split at the end.
    groups: dict[str, list[dict[str, Any]]] = {split: [] for split in export.parts}
    for placed in placed_samples:
        group = groups[placed.split]
        group.append({**placed.data, "name": placed.name})
        if len(group) == GROUP:
            writers[placed.split].write_table(pa.Table.from_pylist(group, schema=schema))
            group.clear()
    for split, group in groups.items():
        writers[split].write_table(pa.Table.from_pylist(group, schema=schema))
    export.put(native.CARD, card(export.classes))


def card(classes: Sequence[str]) -> str:
    """The text of the hub's card."""
    ids = [f"{i}: {json.dumps(name, ensure_ascii=False)}" for i, name in enumerate([BACKGROUND, *classes])]
    listed = "\n".join(["```yaml", *ids, "```"])
    return f"# Images with segmentation masks\n\n`label_map` holds class ids, 255 where ignored:\n\n{listed}\n"


def is_folder(folder: Path) -> bool:
    return any(folder.rglob("*.parquet"))


def read(source: Import, *, split: str | None = None) -> Contents:
    """A folder of parquet files with the columns that SeeDiff writes, or one of them. split: "train", "val" or "test";
    None: all."""
    if split not in (None, *WORDS):
        raise UserError("split", f"{split} must be one of {', '.join(WORDS)}")
    files = sorted(source.path.rglob("*.parquet")) if source.path.is_dir() else [source.path]
    files = [file for file in files if split in (None, part_of(file))]
    if not files:
        named = f" of split '{split}', whose names begin with {WORDS[split]}" if split else ""
        raise UserError(source.path, f"has no parquet files{named}")
    classes = stated_classes(files[0])
    for file in files[1:]:
        if stated_classes(file) != classes:
            raise UserError(file, f"its classes differ from those of {files[0]}")
    return classes, read_samples(source, files)


def part_of(file: Path) -> str | None:
    """The split that a file's name says."""
    return next((split for split, word in WORDS.items() if file.name.startswith((f"{word}-", f"{word}."))), None)


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """The file as pyarrow reads it. Raises UserError for what cannot be read."""
    _, pa, parquet = packages()
    if file.exists() and not file.is_file():
        raise UserError(file, "is not a regular file")
    try:
        with parquet.ParquetFile(file) as reader:
            yield reader
    except (pa.ArrowException, OSError, UnicodeError) as error:  # also for a name that is not UTF-8
        raise UserError(file, f"cannot be read as parquet ({first_line(error)})") from error


def stated_classes(file: Path) -> tuple[str, ...]:
    """The classes that a file's schema names. Raises UserError for a schema that is not that of `features`."""
    with opened(file) as reader:
        schema = reader.schema_arrow
    again = "export the set again"
    datasets, *_ = packages()
    try:
        names = datasets.Features.from_arrow_schema(schema)["class_ids"].feature.names
        classes = fit(names[1:], tuple[str, ...], str(file))
    except Exception as error:  # of what others state there, nearly any
        raise UserError(file, "does not say its classes, in the feature 'class_ids'", again) from error
    check_class_list(classes, file)
    for column in features(classes).arrow_schema:
        if schema.names.count(column.name) != 1 or schema.field(column.name).type != column.type:
            held = ", ".join(schema.names)
            raise UserError(file, f"must have a column '{column.name}', {column.type}; it has {held}", again)
    return classes


def read_samples(source: Import, files: Sequence[Path]) -> Iterator[Sample]:
    """The samples of all files, one after the other."""
    for file in files:
        number, split = 0, part_of(file)
        with opened(file) as reader:
            # One row at a time, because a page of a few bytes may stand for a hundred rows with the same large picture.
            for batch in reader.iter_batches(batch_size=1, columns=["image", "label_map", "name", "metadata"]):
                number += 1
                yield read_sample(source, batch.to_pylist()[0], f"{file}, row {number}", split)


def read_sample(source: Import, record: Mapping[str, Any], where: str, split: str | None) -> Sample:
    """A row of the table as a sample."""
    image, mask = ((record[key] or {}).get("bytes") for key in ("image", "label_map"))
    if not image or not mask or not record["name"]:
        raise UserError(where, "'image', 'label_map' and 'name' must not be empty")
    with open_own(image, f"{where}: its image"):
        pass
    row = parse_json(record["metadata"] or "{}", dict[str, Any], f"{where}: its metadata")
    check_row(row, f"{where}, metadata")
    if split is not None and split_of(row) != split:
        row = {**row, "split": split}
    return source.sample(record["name"], image, partial(decode_label_map, mask, f"{where}: its label map"), row, where)
