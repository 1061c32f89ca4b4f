"""Opens a native dataset, or the output of `segment` or `predict`, as a list of samples, whose files are read on
request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os.path import isfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from ..config.photographs import SegmentPhotosConfig
from ..dataset import native
from ..dataset.native import encode_image
from ..dataset.native_folder import check_finished
from ..dataset.sample import JPEG_SUFFIXES
from ..errors import UserError
from ..files.label_maps import find_maps, read_segment_ids, voc_palette
from ..files.outputs import LABELS, NAMED, OVERLAYS
from ..files.photographs import find_photos, read_photo
from ..files.pictures import in_rgb, open_picture
from ..files.reading import PICTURE, inside, read_bytes
from ..report.pictures import encode_picture, overlay, shrink

Kind = Literal["dataset", "segments", "predictions"]


@dataclass(frozen=True)
class Sample:
    """A picture with a label map. mask: the label map's path in the folder. image: the picture's path in the folder, a
    text, or a photograph's file elsewhere; None if there is none. row: as in metadata.jsonl, as far as known. drawn:
    `image` already shows the labels."""

    name: str
    mask: str
    image: Path | str | None
    row: Mapping[str, Any] = field(default_factory=dict)
    drawn: bool = False


@dataclass(frozen=True)
class Subject:
    """An open set. classes: without the background; empty if its label maps number segments that have no names."""

    folder: Path
    kind: Kind
    classes: tuple[str, ...]
    samples: Sequence[Sample]

    @property
    def editable(self) -> bool:
        """Whether masks can be corrected: their ids are classes."""
        return bool(self.classes)

    def image_path(self, sample: Sample) -> Path | None:
        if not isinstance(sample.image, str):
            return sample.image
        return inside(self.folder, sample.image, f"sample '{sample.name}'", "file_name")

    def mask_path(self, name: str) -> Path:
        return inside(self.folder, name, "a label map", "mask")

    def read_labels(self, name: str, sha256: str | None = None) -> np.ndarray:
        """(H, W) uint8: class ids, or segment numbers from 1 that repeat after 254. sha256: the expected hash of a
        corrected mask. Raises UserError."""
        path = self.mask_path(name)
        if self.editable:
            labels = native.read_label_map(path, sha256)
            if (highest := int(labels[labels < native.IGNORE].max(initial=0))) > len(self.classes):
                raise UserError(f"{path}: has id {highest}, but there are {len(self.classes)} classes")
            return labels
        ids = read_segment_ids(path)
        return np.where(ids < 0, native.IGNORE, ids % 254 + 1).astype(np.uint8)


def open_subject(folder: Path, photos: Sequence[Path] = ()) -> Subject:
    """Open the set in a folder. photos: the photographs from which `segment` or `predict` made it. Raises UserError
    for a folder that is none of the three kinds, or not finished."""
    check_finished(folder)
    if (folder / native.METADATA).is_file():
        if photos:
            raise UserError("photos", f"{folder} is a dataset, which holds its pictures")
        return _dataset(folder)
    pictures = {photo.name: photo.path for photo in find_photos(photos).photos} if photos else {}
    if (folder / SegmentPhotosConfig.last_file).is_file():
        return _segments(folder, pictures)
    if (folder / LABELS).is_dir() and (folder / native.CLASSES).is_file():
        return _predictions(folder, pictures)
    held = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
    problem = f"is neither a finished dataset nor the output of `segment` or `predict` (it holds {held})"
    raise UserError(folder, problem, "`seediff import` reads other formats")


def _dataset(folder: Path) -> Subject:
    samples: dict[str, Sample] = {}
    for number, row in enumerate(native.read_rows(folder), 1):
        name = native.sample_name(row["file_name"])
        if name in samples:
            raise UserError(f"{folder / native.METADATA}, row {number}", f"sample '{name}' already exists")
        # a Path per sample would take half a second for 100,000
        samples[name] = Sample(name, row["mask"], row["file_name"], row)
    return Subject(folder, "dataset", native.read_classes(folder), [*samples.values()])


def _segments(folder: Path, pictures: Mapping[str, Path]) -> Subject:
    from ..run.segment_files import read_segments  # imports scipy

    named = (folder / NAMED).is_dir() and (folder / native.CLASSES).is_file()
    samples = []
    for row in read_segments(folder):
        name = row["photo"]
        pixels, counts = max(1, row["width"] * row["height"]), Counter[str]()
        for segment in row["segments"]:
            if segment.get("name"):
                counts[segment["name"]] += segment["area"]
        area = {word: round(min(1.0, count / pixels), 6) for word, count in counts.items()}
        about = {"classes": list(area), "area": area, "segments": len(row["segments"]), "flags": row.get("flags", ())}
        samples.append(_sample(folder, name, f"{NAMED if named else LABELS}/{name}.png", pictures, about))
    return Subject(folder, "segments", native.read_classes(folder) if named else (), samples)


def _predictions(folder: Path, pictures: Mapping[str, Path]) -> Subject:
    names = find_maps(folder / LABELS)
    samples = [_sample(folder, name, f"{LABELS}/{name}.png", pictures, {}) for name in names]
    return Subject(folder, "predictions", native.read_classes(folder), samples)


def _sample(folder: Path, name: str, mask: str, pictures: Mapping[str, Path], row: Mapping[str, Any]) -> Sample:
    """A sample whose picture is one of `pictures`, or else exists only with the labels drawn over it, if at all."""
    if name in pictures:
        return Sample(name, mask, pictures[name], row)
    drawn = f"{OVERLAYS}/{name}.{JPEG_SUFFIXES[0]}"
    return Sample(name, mask, drawn if isfile(folder / drawn) else None, row, drawn=True)


THUMB = 208
"""Pixels of a thumbnail's longer side."""
SENT = {"PNG": "image/png", "JPEG": "image/jpeg"}
"""Formats whose files are sent to the browser unchanged, and their media types."""


def read_image(subject: Subject, sample: Sample, side: int | None = None) -> np.ndarray | None:
    """(H, W, 3) uint8: a sample's picture, aligned with its label map; None if there is none. side: a larger JPEG may
    be decoded at a fraction of its size. Raises UserError."""
    path = subject.image_path(sample)
    if path is None:
        return None
    if subject.kind != "dataset" and not sample.drawn:
        return read_photo(path)
    with open_picture(path) as picture:
        if side:
            picture.draft("RGB", (side, side))
        return np.asarray(in_rgb(picture, path))


def image_bytes(subject: Subject, sample: Sample) -> tuple[bytes, str]:
    """A sample's picture for the browser, and its media type, from its content. Raises UserError."""
    path = subject.image_path(sample)
    if path is None:
        raise UserError(f"sample '{sample.name}' has no picture here; --photos names the folder of the photographs")
    if subject.kind == "dataset":
        data = read_bytes(path, PICTURE)
        with open_picture(data, str(path)) as picture:
            if picture.format in SENT:
                return data, SENT[picture.format]
    image = read_image(subject, sample)
    assert image is not None
    return encode_image(image, "jpg"), "image/jpeg"


def thumbnail(subject: Subject, sample: Sample, mask: str, *, labels: bool = True, side: int = THUMB) -> bytes:
    """A JPEG whose longer side is at most `side` pixels, grey if there is no picture. labels: draw the labels of
    `mask`, a path in the set, over it. Raises UserError."""
    image, label_map = read_image(subject, sample, side), None
    if image is None or (labels and not sample.drawn):
        label_map = subject.read_labels(mask)
    if image is None:
        assert label_map is not None
        image = np.full((*label_map.shape, 3), 128, np.uint8)
    small = shrink(image, side, Image.Resampling.BILINEAR)
    if label_map is not None:
        size = small.shape[1], small.shape[0]
        small_map = np.asarray(Image.fromarray(label_map).resize(size, Image.Resampling.NEAREST))
        small = overlay(small, small_map, voc_palette(), alpha=0.45)
    return encode_picture(small, "JPEG", quality=80)
