"""Reads and writes the native dataset, the folder that `generate` and `mask` make; training code reads it without conversion.

    out/  README.md        the dataset card            images/000000.png     or .jpg
          seediff.toml     the exact configuration     masks/000000.png      palette PNG: 0 background, 255 ignore, else class id
          classes.txt      line i (from 0) = id i      soft/000000_3.png     optional: soft mask of class id 3, 8-bit grey, 255 = 1
          metadata.jsonl   one row per sample            attention/000000.safetensors   optional: AttentionMaps
          rejected.jsonl   with --reject: every draw   steps/000000_3.safetensors     a few samples: every step of class 3's mask,
                           that was not kept                                          which preview.html draws
          preview.html     to look at

A row: file_name and mask (paths in the folder), prompt, classes and their class_ids, seed, attempt, flags, area (share of the
image in [0, 1] of each class), model, method, version. Numbers of samples that every draw failed for are missing from the sequence.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from ..config.names import BACKGROUND, MAX_CLASSES
from ..errors import UserError, first_line
from ..files.label_maps import IGNORE as IGNORE
from ..files.outputs import CONFIG as CONFIG  # names of this format, too
from ..files.palette import voc_palette
from ..files.pictures import read_pixels
from ..files.reading import LIST, read_lines
from .reviews import in_effect, is_corrected, reviewed_row
from .rows import checked_rows

CARD, CLASSES, METADATA, REJECTED, PREVIEW = (
    "README.md",
    "classes.txt",
    "metadata.jsonl",
    "rejected.jsonl",
    "preview.html",
)
IMAGES, MASKS, SOFT, ATTENTION, STEPS = "images", "masks", "soft", "attention", "steps"
EXTRAS = (SOFT, ATTENTION, STEPS)
"""Folders of what a dataset may keep of a sample besides its picture and label map."""
ABSENT = "there is no such file; a finished SeeDiff dataset has one"


@dataclass(frozen=True)
class Sample:
    """One row of a dataset: image (H, W, 3) uint8; label_map (H, W) uint8 of dataset class ids; JSON-able metadata."""

    image: np.ndarray
    label_map: np.ndarray
    metadata: Mapping[str, Any]
    soft: np.ndarray | None = None


_PLAIN = re.compile(rf"{IMAGES}/(?:[^./][^/]*/)*[^./][^/]*\.[^./]+")


def sample_name(file_name: str) -> str:
    """A sample's name by its picture's path in the dataset: `images/trip/1.png` → `trip/1`."""
    if _PLAIN.fullmatch(file_name):  # nearly all are, and a path takes ten times as long: a second for 100,000
        return file_name[len(IMAGES) + 1 : file_name.rindex(".")]
    return PurePosixPath(file_name).with_suffix("").as_posix().removeprefix(f"{IMAGES}/")


def image_path(index: int, image_format: str) -> str:
    return f"{IMAGES}/{index:06d}.{image_format}"


def mask_path(index: int) -> str:
    return f"{MASKS}/{index:06d}.png"


def soft_path(index: int, class_id: int) -> str:
    return f"{SOFT}/{index:06d}_{class_id}.png"


def attention_path(index: int) -> str:
    return f"{ATTENTION}/{index:06d}.safetensors"


def steps_path(index: int, class_id: int) -> str:
    return f"{STEPS}/{index:06d}_{class_id}.safetensors"


def encode_image(image: np.ndarray, image_format: str) -> bytes:
    """(H, W, 3) uint8 as a PNG, or as a JPEG whose colour keeps its full resolution, so that edges stay where the mask has them."""
    buffer = io.BytesIO()
    if image_format == "jpg":
        Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        # Level 1 is several times faster than the default for a tenth more bytes.
        Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode_mask(label_map: np.ndarray) -> bytes:
    """(H, W) uint8 of class ids as a PNG with VOC's palette: readers get the ids, viewers show the colours.

    Written here and not by Pillow: runs of one id are all there is to find, for which zlib has a strategy that is faster and smaller.
    """
    height, width = label_map.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each begins with its filter: 0, none
    lines[:, 1:] = label_map
    compressor = zlib.compressobj(1, strategy=zlib.Z_RLE)
    data = compressor.compress(lines.data) + compressor.flush()
    header = struct.pack(">II", width, height) + PNG_KIND
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _palette() + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


PNG_SIGNATURE, PNG_KIND = b"\x89PNG\r\n\x1a\n", bytes((8, 3, 0, 0, 0))
"""The kind: 8 bits, palette, and neither another compression or filter method nor interlaced."""


def is_own_mask(data: bytes) -> bool:
    """Whether a PNG is of the kind that `encode_mask` writes: 8-bit palette, VOC's colours and nothing before them."""
    return data[24:29] == PNG_KIND and data[33 : 33 + len(_palette())] == _palette()


@cache
def _palette() -> bytes:
    return _chunk(b"PLTE", bytes(voc_palette()))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_soft(soft: np.ndarray) -> bytes:
    """(H, W) in [0, 1] as an 8-bit grey PNG, rounded to 255 steps."""
    buffer = io.BytesIO()
    Image.fromarray((np.clip(soft, 0, 1) * 255).round().astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def dataset_labels(label_map: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """From an image's own labels (i + 1 = its class i, 255 ignored) to the dataset's ids (H, W) uint8."""
    table = np.zeros(256, np.uint8)
    table[1 : len(class_ids) + 1] = class_ids
    table[IGNORE] = IGNORE
    return table[label_map]


def jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """One JSON object a line, keys in the rows' own order."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")


def classes_text(classes: Sequence[str]) -> bytes:
    """classes.txt: the background and every class, one per line, in the order of their ids."""
    return "".join(name + "\n" for name in (BACKGROUND, *classes)).encode("utf-8")


def read_classes(out: Path | str) -> tuple[str, ...]:
    """The classes of a dataset without the background: id i + 1 is the i-th."""
    lines = read_lines(Path(out) / CLASSES, LIST, ABSENT)
    if lines[:1] != [BACKGROUND]:
        raise UserError(f"{Path(out) / CLASSES}: the first line must be '{BACKGROUND}', the name of id 0")
    if len(lines) - 1 > MAX_CLASSES:
        raise UserError(f"{Path(out) / CLASSES}: {len(lines) - 1} classes; label maps hold at most {MAX_CLASSES}")
    return tuple(lines[1:])


def read_rows(out: Path | str, name: str = METADATA) -> list[dict[str, Any]]:
    """The rows of metadata.jsonl, or of another file of rows. Raises UserError naming file, line and key of what is wrong."""
    return list(checked_rows(Path(out) / name, ABSENT))


def reviewed_rows(out: Path | str, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of metadata.jsonl with what people decided about them and corrected (reviews.py). classes: None: those of classes.txt.
    Raises UserError as `read_rows`."""
    out = Path(out)
    rows, actions = read_rows(out), in_effect(out)
    if not actions:
        return rows
    classes = read_classes(out) if classes is None else classes
    return [reviewed_row(row, actions.get(sample_name(row.get("file_name") or "")), classes) for row in rows]


def path_inside(out: Path, row: Mapping[str, Any], field: str, where: str) -> Path:
    """The file that a row names, which must lie inside `out`, also after following links: rows may come from anybody.

    where: how an error calls the row. Raises UserError.
    """
    name = row.get(field)
    if not isinstance(name, str) or not name:
        raise UserError(f"{where}: '{field}' must be the path of a picture inside the dataset, not {name!r}")
    try:
        inside = (out / name).resolve().is_relative_to(out.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # such as a null byte, or links in a circle
        raise UserError(f"{where}: '{field}' is not a path: {name!r} ({first_line(error)})") from error
    if not inside:
        raise UserError(f"{where}: '{field}' leads out of the dataset folder: {name!r}; paths are relative to it")
    return out / name


def leads_out(out: Path, path: Path) -> bool:
    """Whether a path below `out` is, or goes through, a link that leads out of it, or in a circle."""
    try:
        return not path.resolve(strict=False).is_relative_to(out.resolve())
    except (OSError, ValueError, RuntimeError):
        return True


def read_dataset(out: Path | str) -> Iterator[Sample]:
    """The samples of a finished dataset, one after the other; soft (C, H, W) float32 where the dataset keeps it, but not of a sample whose
    mask a person corrected, which it says nothing of. Corrected masks stand for the originals.

    Raises UserError naming the file that is missing, unreadable, of another size than its image or outside the folder.
    """
    out = Path(out)
    for number, row in enumerate(reviewed_rows(out), 1):
        where = f"{out / METADATA}, row {number}"
        image_file, mask_file = path_inside(out, row, "file_name", where), path_inside(out, row, "mask", where)
        image, label_map = read_pixels(image_file, "RGB")[0], read_label_map(mask_file)
        if label_map.shape != image.shape[:2]:
            raise UserError(f"{mask_file}: {label_map.shape}, but its image is {image.shape[:2]}; both are (height, width)")
        soft = None
        if (out / SOFT).is_dir() and not is_corrected(row):
            soft = [read_label_map(out / name) for name in _soft_names(row)]
            if any(one.shape != label_map.shape for one in soft):
                raise UserError(f"{where}: its soft masks must be {label_map.shape} (height, width) like its image")
            soft = np.stack(soft).astype(np.float32) / 255 if soft else None
        yield Sample(image, label_map, row, soft)


def _soft_names(row: Mapping[str, Any]) -> list[str]:
    """Where the soft masks of a row's classes are, by its name and the ids of its classes."""
    return [f"{SOFT}/{sample_name(row['file_name'])}_{i}.png" for i in row.get("class_ids", ())]


def read_label_map(path: Path) -> np.ndarray:
    """(H, W) uint8: the ids in an 8-bit palette or grey PNG. Raises UserError naming the file."""
    array, kind, mode = read_pixels(path)
    if kind != "PNG" or mode not in ("P", "L"):
        raise UserError(f"{path}: is {kind} {mode} inside; a label map is an 8-bit palette or grey PNG, whose pixels are ids")
    return array
