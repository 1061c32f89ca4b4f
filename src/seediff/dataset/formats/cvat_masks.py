"""Writes and reads CVAT's "Segmentation mask 1.1": VOC's folders with a list of labels and their colours. Label maps come back exactly.

out/  labelmap.txt                        one label per line, `name:r,g,b::`, background first, `ignored` for 255; the colours are VOC's
      ImageSets/Segmentation/default.txt  names, one per line; with samples for validation or testing, one list per split instead
      SegmentationClass/NAME.png          palette PNG of these colours, whose indices are class ids too
      SegmentationObject/NAME.png         optional: 0 background, 255 ignore, else the object's number
      JPEGImages/NAME.jpg or .png         pictures, as they are
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...config.names import BACKGROUND
from ...errors import UserError
from ...files.label_maps import voc_palette
from .. import native
from ..sample import Sample
from . import voc
from .drivers import Export, Source
from .label_files import IGNORED, check_meaning
from .voc import LABELMAP

DEFAULT = "default"
"""CVAT's name for the only subset of a task without subsets."""


def write(export: Export, *, objects: bool = False) -> None:
    check_meaning(export.classes)
    if odd := next((name for name in export.classes if ":" in name or name.startswith("#")), None):
        raise UserError(f"class '{odd}': must have no colon and begin with no #, for a line of {LABELMAP}; rename it in {native.CLASSES}")
    voc.write_samples(export, objects=objects)
    whole = export.parts in ([], ["train"])
    voc.write_lists(export, {DEFAULT: ["train"]} if whole else {split: [split] for split in export.parts})
    colours = voc_palette()
    labels = [(0, BACKGROUND), *enumerate(export.classes, 1), (native.IGNORE, IGNORED[0])]
    lines = [f"{name}:{','.join(map(str, colours[3 * i : 3 * i + 3]))}::\n" for i, name in labels]
    export.put(LABELMAP, "# label:color_rgb:parts:actions\n" + "".join(lines))


def is_folder(folder: Path) -> bool:
    root = voc.find_voc(folder)
    return root is not None and (root / LABELMAP).is_file() and not (root / native.CLASSES).is_file()


def read(
    source: Source, *, split: str | None = None, classes: Sequence[str] | None = None, images: Path | str | None = None
) -> tuple[tuple[str, ...], list[Sample]]:
    if not is_folder(source.path):
        raise UserError(
            f"{source.path}: has no {voc.CLASS_MAPS}/ with a {LABELMAP} beside it; name the folder that CVAT's ZIP file becomes"
        )
    return voc.read(source, split=split, classes=classes, images=images)
