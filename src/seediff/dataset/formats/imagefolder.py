"""Writes and reads the `imagefolder` of `datasets`, which the Hugging Face hub shows as two columns of pictures.
Pictures, label maps, rows and classes come back exactly.

out/  README.md                    card with the classes, for the hub
      classes.txt                  line i, counted from 0, names id i
      train/metadata.jsonl         one sample per line: file_name and label_map_file_name, paths beside it; name;
                                   metadata, its row as JSON
      train/images/NAME.jpg        pictures, as they are; likewise validation/ and test/
      train/masks/NAME.png         palette PNG: 0 background, 255 ignore, else the class id
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ...errors import UserError
from ...files.documents import read_json_lines
from ...files.reading import inside
from .. import native
from ..encoding import read_label_map
from ..sample import Sample
from .drivers import Export, Source
from .label_files import HUB_SPLITS, hub_card, palette, parse_row, row_text


class Line(msgspec.Struct, frozen=True):
    """A line of metadata.jsonl. `datasets` makes the columns image and label_map from the first two fields."""

    file_name: str
    label_map_file_name: str
    name: str = ""
    metadata: str = "{}"


def write(export: Export) -> None:
    """The `imagefolder` format of `datasets`, which the Hugging Face hub shows as two columns of pictures."""
    lines: dict[str, list[dict[str, Any]]] = {split: [] for split in export.parts}
    for placed in export.placed(palette):
        picture, mask = f"{native.IMAGES}/{placed.file_name}", f"{native.MASKS}/{placed.name}.png"
        export.put_image(f"{HUB_SPLITS[placed.split]}/{picture}", placed)
        export.put(f"{HUB_SPLITS[placed.split]}/{mask}", placed.data)
        lines[placed.split].append(
            msgspec.to_builtins(Line(picture, mask, placed.name, row_text(placed.sample.metadata)))
        )
    for split, rows in lines.items():
        export.put(f"{HUB_SPLITS[split]}/{native.METADATA}", native.jsonl(rows))
    export.put(native.CLASSES, native.classes_text(export.classes))
    export.put(native.CARD, hub_card(export.classes))


def is_folder(folder: Path) -> bool:
    return (folder / native.CLASSES).is_file() and any(
        (folder / word / native.METADATA).is_file() for word in HUB_SPLITS.values()
    )


def read(source: Source) -> tuple[tuple[str, ...], list[Sample]]:
    """A folder that SeeDiff wrote: classes.txt, and metadata.jsonl in train/, validation/ and test/."""
    if not is_folder(source.path):
        needed = f"has no {native.CLASSES} with train/{native.METADATA} or another part's beside it"
        raise UserError(source.path, needed)
    classes = native.read_classes(source.path)
    samples: list[Sample] = []
    for split, word in HUB_SPLITS.items():
        folder, listed = source.path / word, source.path / word / native.METADATA
        for number, line in read_json_lines(listed, Line) if listed.is_file() else ():
            where = f"{listed}, line {number}"
            paths = {"file_name": line.file_name, "label_map_file_name": line.label_map_file_name}
            picture, mask = (inside(folder, path, where, key) for key, path in paths.items())
            if absent := next((path for path in (picture, mask) if not path.is_file()), None):
                raise UserError(where, f"{absent}: no such file")
            row, name = parse_row(line.metadata, split, where), line.name or native.sample_name(line.file_name)
            samples.append(source.sample(name, picture, partial(read_label_map, mask), row, picture))
    return classes, samples
