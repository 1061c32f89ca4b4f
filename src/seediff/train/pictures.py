"""`seediff predict`: a segmenter over picture files, label maps and overlays out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..dataset import native
from ..files.outputs import write_atomic
from ..files.palette import voc_palette
from ..files.photographs import find_photos, read_photo
from ..files.staging import put, staged
from ..report.pictures import overlay
from .predict import load_segmenter

if TYPE_CHECKING:
    from ..workers import Progress

LABELS, OVERLAYS = "labels", "overlays"


def predict_files(
    model: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    side: int | None = None,
    overlays: bool = True,
    batch_size: int = 8,
    device: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write labels/NAME.png, palette PNG of the segmenter's class ids, overlays/NAME.jpg and classes.txt. Returns how many pictures.

    `out` appears only when everything is in it. Raises UserError naming the picture or model that cannot be used.
    """
    found = find_photos([str(path) for path in paths], exclude=out).photos
    segmenter = load_segmenter(model, device)
    with staged(out) as part:
        write_atomic(part / native.CLASSES, native.classes_text(segmenter.classes))
        for first in range(0, len(found), batch_size):
            photos = found[first : first + batch_size]
            images = [read_photo(photo.path) for photo in photos]
            for photo, image, labels in zip(photos, images, segmenter.label_maps(images, scales=scales, flip=flip, side=side), strict=True):
                put(part / LABELS / f"{photo.name}.png", native.encode_mask(labels))
                if overlays:
                    put(part / OVERLAYS / f"{photo.name}.jpg", native.encode_image(overlay(image, labels, voc_palette()), "jpg"))
            if progress is not None:
                progress(first + len(photos), len(found), photos[-1].name)
    return len(found)
