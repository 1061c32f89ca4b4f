"""Opens labelled sets to compare with: a set's pictures may be missing, and the part that papers use is the default."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..errors import UserError
from . import native
from .dataset import Dataset
from .formats.format_table import recognise
from .formats.public_sets import find_published


def open_truths(
    path: Path | str,
    split: str | None = None,
    *,
    num_classes: int | None = None,
    void: Sequence[int] = (),
    maps_first: bool = False,
) -> Dataset:
    """Opens any set that `Dataset.open` reads, COCO-Stuff, or a folder of label maps without pictures.

    split: None reads `val` of a public set (CamVid: `test`), or the part that `path` is, and all samples of other sets.
    num_classes, void: for a plain folder, as in `formats.masks.read`. maps_first: whether COCO-Stuff's maps are read
    rather than COCO's JSON beside them. Unlabelled samples are left out. Raises UserError, also if none is labelled.
    """
    path, name = Path(path), None
    if not path.exists():
        raise UserError(path, "no such folder")
    if not (path / native.METADATA).is_file():
        published = maps_first and find_published(path)
        name = "masks" if published else recognise(path, labels_alone=True)
    if void and name != "masks":
        raise UserError("void", f"is only for plain folders of label maps, not for {path}", "leave it out")
    if name == "masks":
        found = Dataset.load(name, path, split=split, num_classes=num_classes, void=void, labels_alone=True)
    elif name == "voc":
        found = Dataset.load(name, path, split=split or "val", labels_alone=True)
    else:
        found = Dataset.open(path, split=split)
        found.samples = [
            sample.replace(label_map=partial(sample.labels, len(found.classes))) for sample in found.samples
        ]
    if not found.samples:
        part = f"split '{split}'" if split else "the folder"
        fix = "--split names another list" if name == "voc" else ""
        raise UserError(path, f"{part} holds no labelled images ({found.about})", fix)
    return found.labelled(with_rejected=True)
