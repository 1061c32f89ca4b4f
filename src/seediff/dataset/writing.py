"""Writes labelled pictures: `encode_sample` makes a sample's row and files, whoever made the sample. There are two ways
to put them into a folder: `save_native` writes a dataset that appears whole or not at all, and a run writes batch by
batch, so that it can continue (`BatchRecord`, run/output.py). Both end with `complete_set`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..files.image_files import stored_bytes
from ..files.names import CARD
from ..files.outputs import put, stage_output, write_atomic
from ..files.reading import read_text
from ..report.card import renewed_card
from ..report.page import write_reports
from ..report.set_summary import SetFacts
from ..rows.row import Row
from ..rows.values import shown_classes
from ..workers import Follow, in_order
from .class_lists import check_class_list
from .encoding import encode_mask, encode_objects
from .native import CLASSES, INSTANCES, METADATA, classes_text, extra_file, jsonl, sample_files
from .reading import READING, Reading, Tally
from .sample import CONFIGS, Sample, check_name

CHUNK = 8
"""How many samples are sent to another process together, because each takes only a millisecond or two."""


@dataclass(frozen=True)
class Encoded:
    """A sample as it is written into a dataset."""

    name: str
    row: Row
    files: Mapping[str, bytes | Path]
    """Path in the dataset → contents, or the file to copy."""
    pixels: np.ndarray = field(default_factory=partial(np.zeros, 256, np.int64))
    """(256,): the number of pixels of each id in the label map."""
    lost: Sequence[int] = ()
    """As in `Sample`."""


def encode_sample(sample: Sample, classes: Sequence[str]) -> Encoded:
    """The row and the files of a sample.

    The row gets the names of the files, the classes that the label map shows, their ids and areas, and the objects. All
    its other keys stay. The classes that the row names come first, even without a pixel. classes: those of the dataset.
    Raises UserError naming a sample that cannot be used.
    """
    name = sample.name
    labels = sample.labels(len(classes))
    where = f"sample '{sample.name}'"
    file_name, mask = sample_files(name, sample.suffix)
    # Shapes are painted for `labels`; asked for after the objects, `lost` may paint them again.
    pixels = np.bincount(labels.ravel(), minlength=256)
    lost = sample.lost()
    shown = shown_classes(pixels, classes, sample.row.class_names, where)
    rest = {key: value for key, value in sample.row.rest.items() if not key.endswith("file_name")}
    row = sample.row.showing(shown).replace(file_name=file_name, mask_file_name=mask, made=None, rest=rest)
    files: dict[str, bytes | Path] = {file_name: sample.picture(), mask: encode_mask(labels)}
    objects = sample.instances
    if objects is not None:
        files[f"{INSTANCES}/{name}.png"] = encode_objects(objects, where)
        scores = tuple(round(score, 4) for score in objects.scores) or None
        row = row.replace(instances=tuple(objects.class_ids), instance_scores=scores)

    # Optional files get the sample's name. A configuration does not, because samples share it, also in merged sets.
    for (kind, class_id), source in sample.extras.items():
        if kind == CONFIGS:
            data = stored_bytes(source)
            made = f"{CONFIGS}/{hashlib.sha256(data).hexdigest()[:16]}.toml"
            row = row.replace(made=made)
            files[made] = data
        else:
            files[extra_file(kind, name, class_id)] = source
    return Encoded(name, row, files, pixels, lost)


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
    tally: Tally | None = None,
    reading: Callable[[], Reading] | None = None,
) -> list[Row]:
    """Writes the native dataset `out` with its card and its page, and returns its rows. `out` appears only when it is
    complete. `encode_sample` says what is written of a sample.

    samples: a Sequence is read by all processes, each its own part. Any other Iterable is read by this process, and its
    samples must be picklable. about: facts for the card and the page, as `SetFacts.entries`. files: name → bytes of
    more files, written after the samples. link: make hard links to pictures and extras instead of copies. workers:
    number of processes. follow: wraps the samples, to show progress. tally: counts the label maps. reading: returns how
    an imported set was understood, after the last sample. Raises UserError naming a sample that cannot be used.
    """
    check_class_list(classes)
    rows = list[Row]()
    names = set[str]()
    tally = tally or Tally()
    read: Any = None
    items: Any = samples
    if isinstance(samples, Sequence):
        read = samples.__getitem__
        items = range(len(samples))
    facts = SetFacts(about)
    with stage_output(out) as folder:
        with in_order(partial(_encode_item, read=read, classes=tuple(classes)), workers, chunk=CHUNK) as encode_all:
            for one in encode_all(follow(items)):
                check_name(one.name, names)
                tally.add(one.pixels, one.name, one.lost)
                for path, source in one.files.items():
                    # The file at `made` belongs to several samples and is written once.
                    if path != one.row.made or not (folder / path).exists():
                        put(folder / path, source, link=link)
                rows.append(one.row)
        for name, data in files.items():
            put(folder / name, data)
        if reading:
            put(folder / READING, (json.dumps(asdict(reading()), indent=1, ensure_ascii=False) + "\n").encode())
            facts = replace(facts, reading=reading().lines())
        complete_set(folder, classes, rows, facts)
    return rows


def _encode_item(item: Any, *, read: Callable[[Any], Sample] | None, classes: Sequence[str]) -> Encoded:
    """`encode_sample` of a sample, or with `read` of the sample at a position."""
    return encode_sample(read(item) if read else item, classes)


def replace_rows(folder: Path, rows: Sequence[Row], *, parts: bool = False) -> None:
    """Writes the rows of a finished dataset anew, which this process has locked, after keys of them changed; its card
    follows. parts: whether the parts of the set changed."""
    write_atomic(folder / METADATA, jsonl(rows))
    card = folder / CARD
    if card.is_file():
        write_atomic(card, renewed_card(read_text(card), rows, parts).encode("utf-8"))


def complete_set(
    folder: Path,
    classes: Sequence[str],
    rows: Sequence[Row],
    facts: SetFacts,
) -> None:
    """Writes the files about a whole dataset: classes.txt, metadata.jsonl, the card and, last, the page, by which a run
    sees that its output is finished."""
    path = folder / CLASSES
    text = classes_text(classes)
    if not path.is_file() or not path.read_bytes().startswith(text):  # people add classes in `look`
        write_atomic(path, text)
    write_atomic(folder / METADATA, jsonl(rows))
    write_reports(folder, facts, rows, classes)
