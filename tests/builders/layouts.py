"""Writes label maps and small datasets in the folder layouts of published datasets."""

import json
import struct
import zlib

import numpy as np
from PIL import Image

from seediff.files.label_maps import voc_palette


def save(path, data=b""):
    """A file of bytes, of a text or of what JSON holds, in a folder that need not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, (dict, list)):
        data = json.dumps(data)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def save_map(path, ids, *, bits=8, palette=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(ids, np.uint8 if bits == 8 else np.uint16))
    if palette and bits == 8:
        image.putpalette(voc_palette())
    image.save(path, "PNG")
    return path


def save_png(path, rows, *, bits, kind=0):
    """A PNG of whole numbers (H, W) or (H, W, C), without Pillow. kind: its colour type: 0 grey, 2 RGB, 4 grey with
    alpha, 6 RGBA."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = np.asarray(rows)
    flat = rows.reshape(len(rows), -1, 1).astype(">u2").view(np.uint8).reshape(len(rows), -1, 2)
    stored = np.unpackbits(flat, axis=2)[..., -bits:].reshape(len(rows), -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in stored)
    header = struct.pack(">IIBBBBB", rows.shape[1], len(rows), bits, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return save(path, b"\x89PNG\r\n\x1a\n" + body)


def save_voc(root, maps, others=None):
    """`maps` are listed in val.txt; `others` are only in the same folder."""
    for name, ids in {**maps, **(others or {})}.items():
        save_map(root / "SegmentationClass" / f"{name}.png", ids)
    listing = root / "ImageSets" / "Segmentation" / "val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("".join(f"{name}\n" for name in maps))
    return root


def save_cityscapes(root, maps, split="val"):
    """maps: `city/name` → ids. The dataset's other files are written beside the label maps."""
    for name, ids in maps.items():
        folder = root / "gtFine" / split
        save_map(folder / f"{name}_gtFine_labelIds.png", ids, palette=False)
        save_map(folder / f"{name}_gtFine_instanceIds.png", np.asarray(ids, np.int64) * 1000, bits=16)
        Image.new("RGB", (2, 2)).save(folder / f"{name}_gtFine_color.png")
    return root


def save_image(path, size):
    """A picture of one colour. size: height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (90, 120, 60)).save(path)
    return path


def add_images(root, folder, maps, ending):
    """Add a picture for each map, of the same size."""
    for name, ids in maps.items():
        save_image(root / folder / f"{name}{ending}", np.shape(ids))
    return root


OBJECTS = {
    13: "person, individual, someone, somebody, mortal, soul",
    21: "car, auto, automobile, machine, motorcar",
    81: "bus, autobus",
}


def save_ade20k(root, maps):
    """The validation part of ADEChallengeData2016. Of its 150 names, only those in OBJECTS are the published ones."""
    for name, ids in maps.items():
        save_map(root / "annotations" / "validation" / f"{name}.png", ids, palette=False)
    add_images(root, "images/validation", maps, ".jpg")
    rows = "".join(f"{i} \t0.01\t100\t10\t{OBJECTS.get(i, f'thing {i}, other')}\n" for i in range(1, 151))
    (root / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + rows)
    return root


def save_camvid(root, maps, split="test"):
    """CamVid as SegNet's authors distribute it."""
    for name, ids in maps.items():
        save_map(root / f"{split}annot" / f"{name}.png", ids, palette=False)
    return add_images(root, split, maps, ".png")
