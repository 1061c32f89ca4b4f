"""`imagefolder` of `datasets`, which the Hugging Face hub shows with two columns of pictures, out and in. All comes back exactly.

out/  README.md                    card with the classes, for the hub
      classes.txt                  line i, counted from 0, names id i
      train/metadata.jsonl         a sample a line: file_name and label_map_file_name, paths beside it; name; metadata, its row as JSON
      train/images/NAME.jpg        pictures, as they are; likewise validation/ and test/
      train/masks/NAME.png         palette PNG: 0 background, 255 ignore, else the class id
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ...errors import UserError
from ...files.documents import read_json_lines
from ...files.places import put, staged
from ...files.reading import path_inside
from .. import native
from ..encoding import MaskFile
from ..rows import check_class_list
from ..sample import Sample
from .exporting import Exported
from .grey import put_pairs, read_pair
from .options import LinkOptions
from .packed import class_list, pack_mask, parse_row, row_text
from .parquet import SPLITS


class Line(msgspec.Struct, frozen=True):
    """A line of metadata.jsonl. `datasets` makes the columns image and label_map of the first two."""

    file_name: str
    label_map_file_name: str
    name: str = ""
    metadata: str = "{}"


def export_imagefolder(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: LinkOptions | None = None,
) -> Exported:
    """Write a folder that `load_dataset("imagefolder", data_dir=out)` and the hub take. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used.
    """
    check_class_list(classes)

    def place(name: str, split: str, suffix: str) -> tuple[str, str]:
        return f"{SPLITS[split]}/{native.IMAGES}/{name}.{suffix}", f"{SPLITS[split]}/{native.MASKS}/{name}.png"

    with staged(out) as part:
        placed = put_pairs(part, classes, items, options or LinkOptions(), place, encode=pack_mask)
        parts = [own for own in SPLITS if any(one.split == own for one in placed)]
        for own in parts:
            above = f"{SPLITS[own]}/"
            lines = [
                Line(one.picture.removeprefix(above), one.label_map.removeprefix(above), one.name, row_text(one.item.metadata))
                for one in placed
                if one.split == own
            ]
            put(part / SPLITS[own] / native.METADATA, native.jsonl([msgspec.to_builtins(line) for line in lines]))
        put(part / native.CLASSES, native.classes_text(classes))
        put(part / native.CARD, _card(classes).encode("utf-8"))
    return Exported(len(placed), 2 * len(placed) + len(parts) + 2)


def _card(classes: Sequence[str]) -> str:
    return (
        "---\ntask_categories:\n- image-segmentation\n---\n\n# Images with segmentation masks\n\n"
        '`label_map` is a palette picture whose pixels are class ids, 255 where ignored: `numpy.array(row["label_map"])`. '
        f"`metadata` is JSON. Class ids:\n\n```yaml\n{class_list(classes)}```\n"
    )


def is_imagefolder(folder: Path) -> bool:
    return (folder / native.CLASSES).is_file() and any((folder / word / native.METADATA).is_file() for word in SPLITS.values())


def import_imagefolder(source: Path | str) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a folder with classes.txt and metadata.jsonl in train/, validation/ and test/.

    A row keeps its own `split`, else has that of its folder, but for train. Raises UserError naming the file and line of what is not
    there or leads out of its folder.
    """
    source = Path(source)
    if not is_imagefolder(source):
        raise UserError(f"{source}: has no {native.CLASSES} with {SPLITS['train']}/{native.METADATA} or another part's beside it")
    classes = native.read_classes(source)
    check_class_list(classes)
    taken: set[str] = set()
    items: list[Sample] = []
    for own, word in SPLITS.items():
        folder, listed = source / word, source / word / native.METADATA
        for number, line in read_json_lines(listed, Line) if listed.is_file() else ():
            where = f"{listed}, line {number}"
            paths = {"file_name": line.file_name, "label_map_file_name": line.label_map_file_name}
            picture, label_map = (path_inside(folder, paths, name, where) for name in paths)
            for path in (picture, label_map):
                if not path.is_file():
                    raise UserError(f"{where}: {path}: there is no such file")
            row = parse_row(line.metadata, where)
            if own != "train":
                row.setdefault("split", own)
            items.append(read_pair(source, line.name or native.sample_name(line.file_name), picture, MaskFile(label_map), row, taken))
    return classes, items
