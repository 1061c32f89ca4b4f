"""FiftyOne's `ImageSegmentationDirectory`, out and in. Label maps come back exactly.

out/  data/NAME.jpg or .png    pictures, as they are
      labels/NAME.png          8-bit grey PNG: 0 background, 255 ignore, else the class id
      classes.txt              not FiftyOne's own, which keeps `mask_targets` in its database: line i (from 0) names id i

With samples for validation or testing there are such folders in train/, val/ and test/, each to be loaded with a tag of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...errors import UserError
from ...files.places import put, staged
from .. import native
from ..rows import check_class_list
from ..sample import SPLITS, Sample
from .exporting import Exported
from .grey import Mapped, pictures_below, put_pairs, read_pair
from .options import LinkOptions
from .packed import checked_classes

DATA, LABELS = "data", "labels"


def export_fiftyone(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: LinkOptions | None = None,
) -> Exported:
    """Write a folder that FiftyOne loads. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used.
    """
    check_class_list(classes)
    items = list(items)
    options = options or LinkOptions()
    several = options.split is not None or any(item.metadata.get("split") in SPLITS[1:] for item in items)

    def place(name: str, split: str, suffix: str) -> tuple[str, str]:
        above = f"{split}/" if several else ""
        return f"{above}{DATA}/{name}.{suffix}", f"{above}{LABELS}/{name}.png"

    with staged(out) as part:
        placed = put_pairs(part, classes, items, options, place)
        put(part / native.CLASSES, native.classes_text(classes))
    return Exported(len(placed), 2 * len(placed) + 1)


def is_fiftyone(folder: Path) -> bool:
    return any((base / DATA).is_dir() and (base / LABELS).is_dir() for base in (folder, *(folder / split for split in SPLITS)))


def import_fiftyone(source: Path | str, *, classes: Sequence[str] | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes, without the background, and samples of a folder with data/ and labels/, or with such folders in train/, val/ and test/.

    classes: None: those of classes.txt, here or in the folder above. A picture without a label map is an error, as it is to FiftyOne's
    readers of a set that is whole. Raises UserError naming the file.
    """
    source = Path(source)
    if not is_fiftyone(source):
        raise UserError(f"{source}: has no {DATA}/ and {LABELS}/ with pictures and label maps of the same names")
    listed = source if (source / native.CLASSES).is_file() else source.resolve().parent
    if classes is None and not (listed / native.CLASSES).is_file():
        raise UserError(f"{source / native.CLASSES}: there is no such file; --classes names the ids from 1 on")
    names = checked_classes(native.read_classes(listed) if classes is None else classes, listed / native.CLASSES)
    parts = [(source, {})] if (source / DATA).is_dir() else [(source / split, {"split": split}) for split in SPLITS]
    taken: set[str] = set()
    items = []
    for folder, row in parts:
        for picture in pictures_below(folder / DATA):
            name = picture.relative_to(folder / DATA).with_suffix("").as_posix()
            label_map = folder / LABELS / f"{name}.png"
            if not label_map.is_file():
                raise UserError(f"{picture}: has no label map {label_map}")
            ids = {number: number for number in range(len(names) + 1)}
            items.append(read_pair(source, name, picture, Mapped(label_map, ids, str(listed / native.CLASSES)), row, taken))
    return names, items
