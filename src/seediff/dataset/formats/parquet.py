"""Parquet files that `datasets.load_dataset` reads as pictures, out and in. Pictures, label maps, rows and classes come back exactly.

out/  README.md                    card with the features, for `load_dataset(out)` and the Hugging Face hub
      data/train-00000.parquet     columns: image and label_map, pictures; name; metadata, a row of metadata.jsonl as JSON
      data/validation-00000.parquet    samples whose row, or a hash of whose name, says so; likewise test-00000.parquet
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import UserError, first_line
from ...files.documents import parse_json
from ...files.outputs import naming, open_new
from ...files.places import put, staged
from ...workers import in_order
from .. import native
from ..rows import check_class_list, check_name
from ..sample import Sample
from ..split import assign_splits
from .exporting import CHUNK, Exported
from .options import ParquetOptions
from .packed import checked_classes, class_list, load_extra, pack_mask, parse_row, row_text, unpack

FEATURES = {
    "image": {"_type": "Image"},
    "label_map": {"_type": "Image"},
    "name": {"dtype": "string", "_type": "Value"},
    "metadata": {"dtype": "string", "_type": "Value"},
}
SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Our splits in the words of the hub."""
GROUP, GROUP_BYTES = 100, 64_000_000
"""Samples and bytes of a row group at most, but for one large sample: what a reader loads to show one."""


def export_parquet(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: ParquetOptions | None = None,
) -> Exported:
    """Write parquet files of about `options.shard_size` bytes. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used, or saying what to install.
    """
    load_extra("pyarrow.parquet", "hf")
    options = options or ParquetOptions()
    check_class_list(classes)
    check_shard_size(options.shard_size)
    items = list(items)
    splits = assign_splits([item.name for item in items], [item.metadata for item in items], options.split, options.seed)
    schema = _schema(classes)
    files = 0
    taken: set[str] = set()
    with staged(out) as part, in_order(partial(pack_mask, classes=len(classes)), options.workers, chunk=CHUNK) as masks_of:
        (part / "data").mkdir()
        for own, word in SPLITS.items():
            chosen = [item for item, its in zip(items, splits, strict=True) if its == own]
            records = (_record(item, mask, taken) for item, mask in zip(chosen, masks_of(chosen), strict=True))
            files += _write_shards(part / "data", word, records, schema, options.shard_size)
        card = _card(classes, [SPLITS[own] for own in SPLITS if own in splits])
        put(part / native.CARD, card.encode("utf-8"))
    return Exported(len(items), files + 1)


def check_shard_size(size: int) -> None:
    if size < 1:
        raise UserError(f"shard_size = {size}: must be at least one byte")


def _write_shards(folder: Path, word: str, records: Iterable[dict[str, Any]], schema: Any, shard_size: int) -> int:
    """Write records to as many files as it takes, each closed once it has `shard_size` bytes. Returns how many."""
    pa, parquet = load_extra("pyarrow", "hf"), load_extra("pyarrow.parquet", "hf")
    files = in_file = in_group = 0
    group: list[dict[str, Any]] = []
    writer, file, path = None, None, folder

    def close() -> None:
        nonlocal writer
        full, writer = writer, None
        if full is not None and file is not None:
            with naming(path), file:
                full.close()

    def write_group() -> None:
        nonlocal in_group
        if group and writer is not None:
            with naming(path):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
        group.clear()
        in_group = 0

    try:
        for record in records:
            if writer is None:
                path = folder / f"{word}-{files:05d}.parquet"
                file = open_new(path)
                writer = parquet.ParquetWriter(file, schema, compression="none", write_statistics=False)
                files += 1
            group.append(record)
            size = len(record["image"]["bytes"]) + len(record["label_map"]["bytes"]) + len(record["metadata"])
            in_file, in_group = in_file + size, in_group + size
            if len(group) == GROUP or in_group >= GROUP_BYTES or in_file >= shard_size:
                write_group()
            if in_file >= shard_size:
                close()
                in_file = 0
        write_group()
    finally:
        close()
    return files


def _record(item: Sample, mask: bytes, taken: set[str]) -> dict[str, Any]:
    check_name(item.name, taken)
    return {
        "image": {"bytes": item.data(), "path": f"{item.name}.{item.suffix}"},
        "label_map": {"bytes": mask, "path": f"{item.name}.png"},
        "name": item.name,
        "metadata": row_text(item.metadata),
    }


def _schema(classes: Sequence[str]) -> Any:
    """Columns, with what `datasets` makes pictures by, and the classes, in the file's own metadata."""
    pa = load_extra("pyarrow", "hf")
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [("image", picture), ("label_map", picture), ("name", pa.string()), ("metadata", pa.string())]
    own = {"huggingface": json.dumps({"info": {"features": FEATURES}}), "seediff": json.dumps({"classes": list(classes)})}
    return pa.schema(columns, metadata=own)


def _card(classes: Sequence[str], words: Sequence[str]) -> str:
    """README.md: front matter that says which files are which split and what is in them, then the classes."""
    files = "".join(f"  - split: {word}\n    path: data/{word}-*.parquet\n" for word in words)
    features = "".join(
        f"  - name: {name}\n    dtype: {'image' if kind['_type'] == 'Image' else 'string'}\n" for name, kind in FEATURES.items()
    )
    return (
        "---\ntask_categories:\n- image-segmentation\n"
        + ("configs:\n- config_name: default\n  data_files:\n" + files if files else "")
        + f"dataset_info:\n  features:\n{features}---\n\n# Images with segmentation masks\n\n"
        '`label_map` is a palette picture whose pixels are class ids, 255 where ignored: `numpy.array(row["label_map"])`. '
        "`metadata` is JSON. Class ids:\n\n"
        f"```yaml\n{class_list(classes)}```\n"
    )


def import_parquet(source: Path | str, *, split: str | None = None) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """Classes, without the background, and samples of a folder of parquet files, or of one file, read as they are asked for.

    split: "train", "val" or "test"; None: all. A row keeps its own `split`; without one it gets that of its file's name, where that says
    one. Raises UserError naming the file and row of what cannot be read, or saying what to install.
    """
    load_extra("pyarrow.parquet", "hf")
    source = Path(source)
    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    if split is not None:
        if split not in SPLITS:
            raise UserError(f"split '{split}': must be one of {', '.join(SPLITS)}")
        files = [file for file in files if _split_of(file) == split]
    if not files:
        raise UserError(
            f"{source}: has no parquet files" + (f" of split '{split}', whose names begin with {SPLITS[split]}" if split else "")
        )
    classes = _read_classes(files[0])
    for file in files[1:]:
        if _read_classes(file) != classes:
            raise UserError(f"{file}: its classes differ from those of {files[0]}")
    return classes, _items(files)


def _split_of(file: Path) -> str | None:
    return next((own for own, word in SPLITS.items() if file.name.startswith((f"{word}-", f"{word}."))), None)


def _items(files: Sequence[Path]) -> Iterator[Sample]:
    taken: set[str] = set()
    pa = load_extra("pyarrow", "hf")
    for file in files:
        number, split = 0, _split_of(file)
        try:
            with _open(file) as opened:
                left = allowance = _allowance(file, opened)
                # A row at a time: a page of a few bytes may say that a hundred of them are the same large picture.
                for batch in opened.iter_batches(batch_size=1, columns=list(FEATURES)):
                    for record in batch.to_pylist():
                        number += 1
                        where = f"{file}, row {number}"
                        image, mask = (record[key] and record[key]["bytes"] for key in ("image", "label_map"))
                        if not image or not mask or not record["name"]:
                            raise UserError(f"{where}: 'image', 'label_map' and 'name' must not be empty")
                        left -= len(image) + len(mask) + len(record["metadata"] or "")
                        if left < 0:
                            raise UserError(f"{where}: {_swollen(file, allowance)}")
                        row = parse_row(record["metadata"], where)
                        if split in ("val", "test"):
                            row.setdefault("split", split)
                        yield unpack(record["name"], image, mask, row, where, taken)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: cannot be read as parquet ({first_line(error)})") from error


SWELLING, ROOM = 20, 64_000_000
"""Bytes of rows that come from a byte of their file at most, and how many may come of any: pictures are compressed already."""


def _allowance(file: Path, opened: Any) -> int:
    """How many bytes the rows of a file may have. Raises UserError when it says itself that they have more."""
    most = SWELLING * file.stat().st_size + ROOM
    groups = [opened.metadata.row_group(i) for i in range(opened.metadata.num_row_groups)]
    if max((group.total_byte_size for group in groups), default=0) > most:
        raise UserError(f"{file}: {_swollen(file, most)}")
    return most


def _swollen(file: Path, most: int) -> str:
    return (
        f"the rows have more than {most // 10**6} MB, but the file {file.stat().st_size // 1000} KB: pictures do not become so much larger"
    )


def _open(file: Path) -> Any:
    parquet, pa = load_extra("pyarrow.parquet", "hf"), load_extra("pyarrow", "hf")
    if not file.is_file():
        raise UserError(f"{file}: {'is no regular file' if file.exists() else 'there is no such file'}")
    try:
        return parquet.ParquetFile(file)
    except (pa.ArrowException, OSError, UnicodeError) as error:  # a name that is no UTF-8 too
        raise UserError(f"{file}: cannot be read as parquet ({first_line(error)})") from error


@dataclass(frozen=True)
class OwnMetadata:
    """What SeeDiff writes into the schema."""

    classes: list[str]


def _read_classes(file: Path) -> tuple[str, ...]:
    """The classes in a file's metadata, after a look at its columns."""
    with _open(file) as opened:
        schema = opened.schema_arrow
    for name, kind in FEATURES.items():
        if schema.names.count(name) != 1 or ("Image" in kind["_type"] and not _is_picture(schema.field(name).type)):
            shape = "a struct of bytes and path" if kind["_type"] == "Image" else "text"
            raise UserError(f"{file}: must have a column '{name}', {shape}; it has {', '.join(schema.names)}")
    own = (schema.metadata or {}).get(b"seediff")
    if own is None:
        raise UserError(f"{file}: does not say its classes (metadata key 'seediff' of the schema)")
    return checked_classes(parse_json(own, OwnMetadata, f"{file}, metadata key 'seediff'").classes, file)


def _is_picture(kind: Any) -> bool:
    pa = load_extra("pyarrow", "hf")
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and pa.types.is_binary(kind.field("bytes").type)
