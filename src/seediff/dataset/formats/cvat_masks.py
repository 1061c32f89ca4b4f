"""CVAT's "Segmentation mask 1.1", out and in: VOC's folders with a list of labels and their colours. Label maps come back exactly.

out/  labelmap.txt                        a line a label, `name:r,g,b::`, background first, `ignored` for 255; the colours are VOC's
      ImageSets/Segmentation/default.txt  names, one per line; with validation samples train.txt, val.txt and test.txt instead
      SegmentationClass/NAME.png          palette PNG of these colours, whose indices are class ids as well
      SegmentationObject/NAME.png         optional: 0 background, 255 ignore, else the object's number
      JPEGImages/NAME.jpg or .png         pictures, as they are
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.label_maps import voc_palette
from ...files.places import put, staged
from .. import native
from ..rows import check_class_list, check_name
from ..sample import SPLITS, Sample
from ..split import assign_splits
from .cvat import check_ignored
from .exporting import Exported, no_note, worked_on
from .options import CvatOptions
from .voc import CLASS_MAPS, IMAGES, LISTS, MAX_OBJECTS, OBJECT_MAPS, convert, find_voc, import_voc
from .voc_masks import IGNORED, LABELMAP

DEFAULT = "default"
"""CVAT's only part of a task that has no parts."""


def export_cvat_masks(
    classes: Sequence[str],
    items: Iterable[Sample],
    out: Path | str,
    options: CvatOptions | None = None,
) -> Exported:
    """Write a folder for CVAT. `out` appears only when everything is in it.

    Raises UserError naming the sample that cannot be used, and a class that the list of labels cannot hold.
    """
    options = options or CvatOptions()
    check_class_list(classes)
    check_ignored(classes)
    if odd := next((name for name in classes if ":" in name or name.startswith("#")), None):
        raise UserError(f"class '{odd}': must have no colon and begin with no #, for a line of {LABELMAP}; rename it in {native.CLASSES}")
    items = list(items)
    names = [item.name for item in items]
    splits = assign_splits(names, [item.metadata for item in items], options.split, options.seed)
    taken: set[str] = set()
    many = 0
    convert_ = partial(convert, classes=classes, objects=options.objects, boxes=False, min_area=1, jpeg=False)
    with staged(out) as part, worked_on(items, convert_, options.workers) as converted:
        for item, its in converted:
            check_name(item.name, taken)
            item.put_image(part / IMAGES / f"{item.name}.{item.suffix}", link=options.link)
            put(part / CLASS_MAPS / f"{item.name}.png", its.mask)
            if its.objects is not None:
                put(part / OBJECT_MAPS / f"{item.name}.png", its.objects)
            many += its.many
        lists = {one: {one} for one in SPLITS if one in splits} if {*splits} - {"train"} else {DEFAULT: {"train"}}
        for list_name, kept in lists.items():
            lines = "".join(name + "\n" for name, own in zip(names, splits, strict=True) if own in kept)
            put(part / LISTS / f"{list_name}.txt", lines.encode("utf-8"))
        put(part / LABELMAP, _label_list(classes).encode("utf-8"))
    notes = (f"{many} objects beyond {MAX_OBJECTS} in an image, the smallest, are 255 in {OBJECT_MAPS}",) if many else ()
    return Exported(len(names), len(names) * (2 + options.objects) + len(lists) + 1, notes)


def _label_list(classes: Sequence[str]) -> str:
    palette = voc_palette()
    named = [(0, BACKGROUND), *enumerate(classes, 1), (native.IGNORE, IGNORED[0])]
    lines = [f"{name}:{','.join(map(str, palette[3 * i : 3 * i + 3]))}::\n" for i, name in named]
    return "# label:color_rgb:parts:actions\n" + "".join(lines)


def is_cvat_masks(folder: Path) -> bool:
    root = find_voc(folder)
    return root is not None and (root / LABELMAP).is_file() and not (root / native.CLASSES).is_file()


def import_cvat_masks(
    source: Path | str,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    images: Path | str | None = None,
    note: Callable[[str], None] = no_note,
) -> tuple[tuple[str, ...], list[Sample]]:
    """As `import_voc`, of a folder that must have a labelmap.txt. Raises UserError."""
    source = Path(source)
    if not is_cvat_masks(source):
        raise UserError(f"{source}: has no {CLASS_MAPS}/ with a {LABELMAP} beside it; name the folder that CVAT's ZIP file becomes")
    return import_voc(source, split=split, classes=classes, images=images, note=note)
