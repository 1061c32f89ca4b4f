"""Saves samples as a native dataset with its card and its page. `out` appears only when it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..files.documents import Json
from ..files.output_folders import stage_output
from ..files.outputs import put
from ..files.reading import read_bytes
from ..report.page import write_reports
from ..workers import Follow, in_order
from . import native
from .encoding import encode_mask, encode_objects
from .rows import check_class_list, check_name, shown_classes
from .sample import CONFIGS, Sample


def save_native(
    out: Path | str,
    classes: Sequence[str],
    samples: Iterable[Sample],
    *,
    about: Mapping[str, Any],
    files: Mapping[str, bytes] = MappingProxyType({}),
    link: bool = False,
    workers: int = 1,
    follow: Follow = iter,
) -> list[Json]:
    """Writes the native dataset `out`, and returns its rows. Keys of rows that end in `file_name` are replaced, and
    classes, class_ids and area are counted anew. All other keys stay.

    samples: if they are a Sequence, each process reads its own part of them. Otherwise this process reads them, and the
    samples must be picklable. about: facts for the card and the page. files: name → bytes of more files, written after
    the samples. link: make hard links to pictures and extras instead of copies. workers: number of processes. follow:
    wraps the samples, to show progress. Raises UserError naming a sample that cannot be used.
    """
    check_class_list(classes)
    rows: list[Json] = []
    names: set[str] = set()
    read: Any = None
    items: Any = samples
    if isinstance(samples, Sequence):
        read, items = samples.__getitem__, range(len(samples))
    encode = partial(_encoded, read=read, classes=tuple(classes))
    with stage_output(out) as folder:
        with in_order(encode, workers, chunk=native.CHUNK) as encoded:
            for name, row, sources in encoded(follow(items)):
                check_name(name, names)
                for path, source in sources.items():
                    if path != row.get("made") or not (folder / path).exists():
                        put(folder / path, source, link=link)
                rows.append(row)
        put(folder / native.CLASSES, native.classes_text(classes))
        put(folder / native.METADATA, native.jsonl(rows))
        for name, data in files.items():
            put(folder / name, data)
        write_reports(folder, about, rows, classes)
    return rows


def _encoded(
    item: Any, *, read: Callable[[Any], Sample] | None, classes: Sequence[str]
) -> tuple[str, Json, dict[str, bytes | Path]]:
    """(name, row, files) of one sample, ready to write. `files`: path in the dataset → bytes, or the file to copy.
    item: the sample; or with `read`, what `read` turns into a sample."""
    sample: Sample = read(item) if read else item
    name, labels, where = sample.name, sample.labels(len(classes)), f"sample '{sample.name}'"
    file_name, mask = native.sample_files(name, sample.suffix)
    row: Json = {"file_name": file_name, "mask_file_name": mask}
    for key, value in sample.metadata.items():
        if key not in ("mask", "made") and not key.endswith("file_name"):
            row[key] = value
    row |= shown_classes(labels, classes, sample.row.classes, where)
    files: dict[str, bytes | Path] = {file_name: sample.picture(), mask: encode_mask(labels)}
    instances = sample.instances
    if instances is not None:
        files[f"{native.INSTANCES}/{name}.png"] = encode_objects(instances, where)
        row |= native.instance_row(instances)

    # Other files keep the sample's name. A configuration does not: samples, also of merged sets, have it in common.
    for (kind, class_id), path in sample.extras.items():
        if kind == CONFIGS:
            data = read_bytes(path)
            row["made"] = f"{CONFIGS}/{hashlib.sha256(data).hexdigest()[:16]}.toml"
            files[row["made"]] = data
        else:
            files[native.extra_file(kind, name, class_id)] = path
    return name, row, files
