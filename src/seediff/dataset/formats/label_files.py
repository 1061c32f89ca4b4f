"""Label maps as formats have them that keep pixels: PNG files, in a folder or in a record."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...config.names import BACKGROUND
from ...errors import UserError, first_line
from ...files.documents import parse_json
from ...files.label_maps import voc_palette
from ...files.messages import shown
from ...files.orientation import orientation_of
from ...files.pictures import check_pixels, open_picture
from ...files.reading import ANNOTATIONS, open_regular, read_lines
from .. import native
from ..encoding import PNG_SIGNATURE, Instances, decode_label_map, encode_grey, read_label_map
from ..rows import check_class_list, check_row
from ..sample import Sample, picture_size
from .drivers import Source

IGNORED = ("ignored", "ignore", "void", "unlabeled", "unlabelled", "__ignore__")
"""Names of labels that mean 255, where a format has no other way to say it; the second is what we write."""
GROUNDS = (BACKGROUND, f"_{BACKGROUND}_", f"__{BACKGROUND}__")
"""What tools call id 0; the second is labelme's."""
PICTURES = (".png", ".jpg", ".jpeg")
MOST_PACKED = 1 << 27
"""Bytes that a packed mask may have when it is unpacked: a PNG of 100 megapixels without any compression."""


def grey(sample: Sample, *, classes: Sequence[str]) -> bytes:
    """A sample's label map as an 8-bit grey PNG, for readers that make colours of a palette. Raises UserError naming the sample."""
    return encode_grey(sample.labels(len(classes)))


def palette(sample: Sample, *, classes: Sequence[str]) -> bytes:
    """A sample's label map as a palette PNG. Raises UserError naming the sample."""
    return sample.mask_data(sample.labels(len(classes)))


@dataclass(frozen=True)
class Mapped:
    """A label map that is a file whose values mean ids, by `ids`; 255 is what it says there, else ignored. `label_map` of a sample.

    named: what says which values there are, for messages.
    """

    path: Path
    ids: Mapping[int, int]
    named: str

    def __call__(self) -> np.ndarray:
        """(H, W) uint8. Raises UserError naming the file and a value that means nothing."""
        values = read_label_map(self.path)
        table, known = np.zeros(256, np.uint8), np.zeros(256, bool)
        for value, class_id in {native.IGNORE: native.IGNORE, **self.ids}.items():
            table[value], known[value] = class_id, True
        if not (meant := known[values]).all():
            raise UserError(f"{self.path}: has the value {int(values[~meant][0])}, which is no class of {self.named}")
        return table[values]


def pictures_below(folder: Path) -> list[Path]:
    """PNG and JPEG files at any depth of a folder, hidden ones apart, in the order of their paths."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file()]
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def check_ignored(classes: Sequence[str]) -> None:
    """Raise UserError for a class whose name means 255 in this format."""
    if meant := next((name for name in classes if name.casefold() in IGNORED), None):
        raise UserError(f"class '{meant}': means pixels that are ignored in this format; give it another name in {native.CLASSES}")


def label_ids(classes: Sequence[str]) -> dict[str, int]:
    """The id of each class, of the background, and of what means 255."""
    return {
        **dict.fromkeys(GROUNDS, 0),
        **dict.fromkeys(IGNORED, native.IGNORE),
        **{name: number for number, name in enumerate(classes, 1)},
    }


def label_id(label: str, ids: Mapping[str, int], where: str) -> int:
    """The id of a label, by `label_ids`. Raises UserError for one that is no class."""
    if (number := ids.get(label, ids.get(label.casefold()))) is None:
        known = ", ".join(name for name, i in ids.items() if 0 < i < native.IGNORE)
        raise UserError(f"{where}: is of the label {shown(label)}, which is no class; they are {known}")
    return number


def class_names(labels: Iterable[str], where: object) -> tuple[str, ...]:
    """The classes among labels, in their order: without the background and what means 255. Raises UserError for names that cannot be."""
    meant = label_ids(())
    names = tuple(label for label in dict.fromkeys(labels) if label.casefold() not in meant)
    check_class_list(names, where)
    return names


CLASS_LISTS = (native.CLASSES, "class_names.txt", "labels.txt")
"""What lists of classes are called; the second and third are labelme's."""


def listed_classes(*folders: Path) -> tuple[Path, tuple[str, ...]] | None:
    """The first list of classes in one of these folders, and its names: a line each, from id 1 on, after those of the background and of
    what is ignored (−1 in labelme's own arrays, 255 in its pictures)."""
    path = next((folder / name for folder in folders for name in CLASS_LISTS if (folder / name).is_file()), None)
    if path is None:
        return None
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    lines = lines[lines[:1] == ["__ignore__"] :]
    return path, tuple(lines[1:] if lines and lines[0].casefold() in GROUNDS else lines)


@dataclass
class Shapes:
    """The shapes of a picture by number, from 1 on. class_ids: of each, 255 what is ignored."""

    class_ids: list[int] = field(default_factory=list)
    groups: dict[tuple[int, object], int] = field(default_factory=dict)

    def number(self, class_id: int, group: object = None) -> int:
        """The number of one more shape. Those of one class and group are one object; group: None or 0: of none."""
        if group and (known := self.groups.get((class_id, group))):
            return known
        self.class_ids.append(class_id)
        return self.groups.setdefault((class_id, group or -len(self.class_ids)), len(self.class_ids))

    def painted(self, numbers: np.ndarray) -> Instances:
        """numbers: (H, W), the shape that is seen at each pixel, 0 none."""
        return Instances(np.ascontiguousarray(numbers, np.uint16), tuple(self.class_ids))


def by_object(pictures: Iterable[Sequence[str]]) -> bool:
    """Whether masks are objects, by the labels of each picture's masks: in some picture two have one label. Else each may be all that a
    picture shows of a class."""
    return any(len({*labels}) < len(labels) for labels in pictures)


def beginning(path: Path, count: int = 4096) -> bytes:
    """A file's first bytes, by which formats of one suffix are told apart."""
    with open_regular(path, ANNOTATIONS) as opened:
        return opened.read(count).lstrip(b"\xef\xbb\xbf \t\r\n")


def packed_mask(text: str, where: str) -> np.ndarray:
    """(h, w) bool of a picture's bytes as base64, perhaps packed by zlib: what is not 0, or not transparent. Raises UserError."""
    try:
        data = base64.b64decode(text)
        if not data.startswith(PNG_SIGNATURE):
            data = zlib.decompressobj().decompress(data, MOST_PACKED)
    except (ValueError, zlib.error) as error:
        raise UserError(f"{where}: is no picture's bytes as base64 ({first_line(error)})") from error
    with open_picture(data, where) as picture:
        flat = picture.mode in ("1", "L", "I;16")
        pixels = np.asarray(picture if flat else picture.convert("RGBA"))
    return pixels > 0 if flat else pixels[..., 3] > 0


def shown_size(picture: Path | bytes, where: str | None = None) -> tuple[int, int]:
    """(height, width) of a picture as its EXIF orientation turns it."""
    height, width = picture_size(picture, where)
    return (width, height) if 5 <= orientation_of(picture, where) <= 8 else (height, width)


def check_frame(picture: Path | bytes, shape: tuple[int, int], where: str) -> None:
    """Raise UserError where labels of `shape` (H, W) are not of their picture's size, as it is stored or shown."""
    if (size := picture_size(picture)) != shape != shown_size(picture):
        named = f" {picture}" if isinstance(picture, Path) else ""
        raise UserError(f"{where}: is {shape}, but its picture{named} is {size}; both are (height, width)")
    check_pixels((shape[1], shape[0]), where)


def named_colours(classes: Sequence[str]) -> list[tuple[str, str]]:
    """The classes, and what 255 is called, with their colours, VOC's."""
    colours = bytes(voc_palette())
    named = [*enumerate(classes, 1), (native.IGNORE, IGNORED[1])]
    return [(name, f"#{colours[3 * i : 3 * i + 3].hex()}") for i, name in named]


def from_record(source: Source, name: Any, image: Any, mask: Any, row: dict[str, Any], where: str) -> Sample:
    """The sample of a record that holds the bytes of its files. where: how an error calls the record. Raises UserError."""
    for what, value, kind in (("name", name, str), ("image", image, bytes), ("mask", mask, bytes)):
        if not isinstance(value, kind):
            raise UserError(f"{where}: its {what} must be {'a text' if kind is str else 'the bytes of a picture'}, not {shown(value)}")
    sample = source.sample(name, image, partial(decode_label_map, mask, f"{where}: its label map"), row, where)
    with open_picture(image, f"{where}: its image") as picture:
        kind = picture.format or "of no known kind"
    if kind not in ("PNG", "JPEG"):
        raise UserError(f"{where}: its image is {kind}; pictures of datasets are PNG or JPEG files")
    check_row(row, f"{where}, metadata")
    return sample


def row_text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)


def parse_row(text: Any, where: str) -> dict[str, Any]:
    """A row of metadata from its JSON; nothing at all is an empty row."""
    if text is not None and not isinstance(text, str | bytes):
        raise UserError(f"{where}: its metadata must be a text, not {shown(text)}")
    return parse_json(text or "{}", dict[str, Any], f"{where}: its metadata")


HUB_SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Our splits in the words of the Hugging Face hub."""


def hub_card(classes: Sequence[str], front_matter: str = "") -> str:
    """README.md for the hub: what `label_map` and `metadata` are, and the ids of the classes. YAML reads JSON's texts, and nothing in those
    is a line break or a fence of Markdown's."""
    ids = "".join(f"{i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate([BACKGROUND, *classes]))
    return (
        f"---\ntask_categories:\n- image-segmentation\n{front_matter}---\n\n# Images with segmentation masks\n\n"
        '`label_map` is a palette picture whose pixels are class ids, 255 where ignored: `numpy.array(row["label_map"])`. '
        f"`metadata` is JSON. Class ids:\n\n```yaml\n{ids}```\n"
    )
