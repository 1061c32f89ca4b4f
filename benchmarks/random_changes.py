"""Makes random changes of good inputs, runs what reads them, and counts what comes of it by kind of input.

    python benchmarks/random_changes.py --cases 3000 --seed 1 --keep failing      # 10 minutes of one core
    python benchmarks/random_changes.py coco masks --cases 500                    # some kinds of input

A case changes up to three files of a copy: a value or key of JSON, a word or line of a text, the bytes, bits, mode,
palette, transparency or size of a picture, the header of weights. A fork of this process reads it, with limits of time
and memory. Labels that are accepted are compared with those of another reader, written here with numpy, Pillow and
pycocotools: it reads the file as it was changed, and knows what a picture holds.

Good are "accepted" (with the same labels), "apart" (accepted, but the other reader fails) and "refused" (a line, and
exit code 2). Wrong are "differs", "unhelpful" (the line is empty, ends at a colon, or names a class of Python),
"memory", "crash", "hang" and "signal". `--keep` gets a list of all cases, and the folders of wrong ones. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import normalize
from xml.etree import ElementTree

import numpy as np
from kills import warm_up
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageDraw
from pycocotools import mask as rle

sys.path += [str(Path(__file__).parents[1] / part) for part in ("tests", "tests/builders", "tests/masks")]

from builders.layouts import save, save_png  # pyright: ignore[reportMissingImports]

from seediff.cli.main import main as seediff
from seediff.config.names import meaning
from seediff.dataset.native import open_native
from seediff.errors import UserError
from seediff.files.photo_files import read_photo

RLE: Any = rle
SECONDS, MEMORY = 30, 4 << 30
SHAPE = HEIGHT, WIDTH = 24, 32
ROWS, COLUMNS = np.indices(SHAPE)
IDS = np.where((ROWS // 8 == 1) & (COLUMNS > 12), 2, ROWS < COLUMNS // 2).astype(np.uint8)
MAPS = {"a": IDS, "b": np.where((ROWS > 20) & (COLUMNS < 5), 255, IDS).astype(np.uint8)}
PHOTO = (ROWS + 2 * COLUMNS + 40).astype(np.uint8)
COCO = """{"images": [{"id": 1, "file_name": "a.png", "height": 24, "width": 32},
            {"id": 2, "file_name": "b.png", "height": 24, "width": 32}],
 "categories": [{"id": 1, "name": "dog"}, {"id": 3, "name": "cat", "supercategory": "pet"}],
 "annotations": [
  {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[4, 3, 14.5, 3, 14.5, 11.5, 4, 11.5]],
   "bbox": [4, 3, 10.5, 8.5], "iscrowd": 0},
  {"id": 2, "image_id": 1, "category_id": 3, "bbox": [12, 10, 16, 10], "area": 160, "iscrowd": 0},
  {"id": 3, "image_id": 2, "category_id": 3, "segmentation": {"size": [24, 32], "counts": [100, 50, 600, 18]}},
  {"id": 4, "image_id": 2, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 1},
  {"id": 5, "image_id": 2, "category_id": 1, "bbox": [20, 2, 8, 4], "attributes": {"rotation": 30}}]}"""
LABELME = """{"imagePath": "a.png", "imageHeight": 24, "imageWidth": 32, "imageData": null, "shapes": [
 {"label": "dog", "points": [[4, 3], [14, 3], [14, 11]], "shape_type": "polygon", "group_id": null},
 {"label": "cat", "points": [[16, 5], [28, 9.5]], "shape_type": "rectangle", "group_id": 1},
 {"label": "cat", "points": [[20, 16], [22, 19]], "shape_type": "circle", "group_id": 1},
 {"label": "dog", "points": [[3, 14], [9, 14], [9, 20], [3, 20]], "shape_type": "rotation"},
 {"label": "tail", "points": [[1, 1], [2, 2]], "shape_type": "line"}]}"""
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels>
    <label><name>dog</name><type>any</type></label>
    <label><name>cat</name><type>any</type></label>
  </labels></task></meta>
  <image id="0" name="a.png" width="32" height="24">
    <mask label="dog" source="manual" occluded="0" rle="0, 3, 2, 5" left="4" top="3" width="5" height="2" z_order="0">
    </mask>
    <polygon label="cat" source="manual" occluded="0" points="12,10;28.5,10;28,20.25" z_order="1"></polygon>
    <box label="dog" source="manual" occluded="0" xtl="1" ytl="14" xbr="9.5" ybr="18" rotation="30" z_order="0"></box>
  </image>
  <image id="1" name="b.png" width="32" height="24">
    <ellipse label="dog" source="manual" occluded="0" cx="14" cy="10" rx="8" ry="5" rotation="20" z_order="0"></ellipse>
    <polyline label="cat" points="1,1;5,5" z_order="0"></polyline>
  </image>
</annotations>
"""
STUDIO = """[{"id": 1, "data": {"image": "/data/upload/1/a.png"}, "annotations": [{"id": 1, "updated_at": "2026-01-01",
  "result": [
   {"original_width": 32, "original_height": 24, "image_rotation": 0, "from_name": "tag", "to_name": "image",
    "type": "polygonlabels", "value": {"points": [[10, 10], [50, 10], [50, 60]], "polygonlabels": ["dog"]}},
   {"original_width": 32, "original_height": 24, "image_rotation": 0, "from_name": "tag", "to_name": "image",
    "type": "rectanglelabels",
    "value": {"x": 50, "y": 50, "width": 30, "height": 20, "rotation": 20, "rectanglelabels": ["cat"]}}]}]},
 {"id": 2, "data": {"image": "/data/upload/1/b.png"}, "annotations": [{"id": 2, "updated_at": "2026-01-01",
  "result": [
   {"original_width": 32, "original_height": 24, "image_rotation": 0, "from_name": "tag", "to_name": "image",
    "type": "ellipselabels",
    "value": {"x": 40, "y": 50, "radiusX": 30, "radiusY": 20, "rotation": 0, "ellipselabels": ["cat"]}}]}]}]"""
TOML = """command = "generate"
model = "mini"
steps = 1
batch_size = 8
seed = 0
device = "cpu"
classes = ["dog", "cat"]
prompts = ["a photo of a {class}"]
keep_soft = false
per_class = 1
negative_prompt = ""
classes_per_image = 1
guidance_scale = 2.5
scheduler = "euler-a"
attempts = 5
image_format = "png"
[capture]
steps = "second-half"
layers = "last"
[mask]
method = "seediff"
beta = 0.2
expand_levels = [2]
compete = true
pamr_iterations = 20
pamr_dilations = [1, 2, 4]
"""
YAML, YOLO = (
    'train: images\nnames:\n  0: "dog"\n  1: "cat"\n',
    "0 .1 .1 .5 .1 .5 .5\n1 .4 .45 .9 .45 .9 .8\n1 .2 .8 .1 .2\n",
)
NAMES = "background\ndog\ncat\n"
VALUES = (None, True, 0, -1, 1, 2, 0.5, 300, 10**9, 2**63, 1e300, float("nan"), "", "dog", "é", "../a.png", "5", [], {})
VALUES += ([1, 2], [[1, 2, 3, 4]], {"rotation": 30}, "255", "ignore", "background", "cafe\u0301", " ", "/a", "cat")
KEYS = ("rotation", "iscrowd", "attributes", "group_id", "z_order", "split", "metadata")
Masks = list[tuple[str, np.ndarray]]
"""(class, (H, W) bool) of each shape, later ones over earlier ones."""
Shapes = Iterator[tuple[str, list[Any], Masks]]
"""Last part of the picture's name, boxes, which are ignored where no mask is, and masks of each picture."""


# Changes of a file.


def change_bytes(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    at = chance.randrange(len(data) + 1)
    path.unlink()  # it is a link to the good file
    path.write_bytes(chance.choice((data[:at], data + b"\0", data[:at] + chance.randbytes(1) + data[at + 1 :])))


def json_changed(text: str | bytes, chance: random.Random) -> str:
    """Another value at one place, or a key more or less."""
    document = [json.loads(text)]
    holder: Any = document
    key: Any = 0
    while isinstance(holder[key], (dict, list)) and holder[key] and chance.random() < 0.9:
        holder = holder[key]
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    value, new = holder[key], list(VALUES)
    if isinstance(value, (int, float)):
        new = [-value, value + 1, value * 2, value / 3, value * 1000, str(value), *new[:8]]
    elif isinstance(value, str):
        new = [value.upper(), f" {value}", f"{value}é", value[:-1], f"sub/{value}", *new[:8]]
    holder[key] = chance.choice(new)
    if chance.random() < 0.15:
        del holder[key]
    elif isinstance(holder, dict) and chance.random() < 0.15:
        holder[chance.choice(KEYS)] = chance.choice(VALUES)
    return json.dumps(document[:1])[1:-1] or "[]"


def text_changed(text: str, chance: random.Random) -> str:
    """Another word or number, or a line more or less."""
    if chance.random() < 0.3:
        lines = text.splitlines(keepends=True)
        lines[chance.randrange(len(lines))] *= chance.choice((0, 2))
        return "".join(lines)
    words = list(re.finditer(r"[\w.+-]+", text))
    word = chance.choice(words)
    new = [str(chance.choice(VALUES)), chance.choice(words)[0]]
    with contextlib.suppress(ValueError):
        new += [f"{float(word[0]) * 2:g}", f"{-float(word[0]):g}", f"{float(word[0]) + 1:.2f}", "1e9"]
    return text[: word.start()] + chance.choice(new) + text[word.end() :]


def change_text(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    path.unlink()
    if path.suffix == ".safetensors":
        header = json_changed(data[8 : 8 + size], chance).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
    else:
        changed = json_changed if path.suffix == ".json" else text_changed
        path.write_text(changed(data.decode(), chance))


def change_mask(path: Path, chance: random.Random) -> None:
    """The same ids in another kind of file, or in another place."""
    ids = MAPS[path.stem]
    image, clear = Image.fromarray(ids), np.where(ids == 0, chance.choice((0, 128, 255)), 255).astype(np.uint8)
    palette = image.copy()
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *[n // 3 for n in range(9, 765)], 224, 224, 192])
    colours = palette.convert("RGB")
    images = [image, palette, colours, Image.merge("RGB", [image] * 3), image.transpose(Image.Transpose.TRANSPOSE)]
    images += [palette.remap_palette([3, 2, 1, 0, *range(4, 256)]), image.resize((8, 8))]
    kinds = ["PNG"] * 15 + ["TIFF", "BMP", "GIF", "JPEG", "WEBP"]
    bits = (8, 16) if 255 in ids else (2, 4, 8, 16)
    rows: Any = [(ids, chance.choice(bits), 0), (np.where(ids == 255, 65535, ids.astype(int) * 257), 16, 0)]
    rows += [(np.where(ids == 255, 65535, ids), 16, 0), (np.dstack([ids, clear]), 8, 4)]
    rows.append((np.dstack([np.asarray(colours), clear]), 8, 6))
    save_one(path, chance, images, kinds, rows, transparency=chance.choice((0, bytes([255, 0, 99]))), lossless=True)


def change_photo(path: Path, chance: random.Random) -> None:
    """The same pixels in another kind of file, or of another size."""
    image, wide = Image.fromarray(PHOTO), PHOTO.astype(int) * chance.choice((16, 257))
    images = [image.convert(mode) for mode in ("L", "RGB", "LA", "RGBA", "P", "F", "I")]
    images += [image.resize((7, 7)), image.resize((WIDTH, HEIGHT - 1))]
    kinds = ["PNG", "PNG", "PNG", "TIFF", "BMP", "PPM", "JPEG", "GIF", "ICO"]
    save_one(path, chance, images, kinds, [(wide, 16, 0), (np.stack([wide] * 3, 2), 16, 2)])


def save_one(path: Path, chance: random.Random, images: Any, kinds: Any, rows: Any, **options: Any) -> None:
    """Save one of some images in one of some formats, or one of rows of numbers, with bits and PNG's colour type."""
    path.unlink()
    if chance.random() < 0.4:
        numbers, bits, colours = chance.choice(rows)
        save_png(path, numbers, bits=bits, kind=colours)
        return
    image, kind = chance.choice(images), chance.choice(kinds)
    try:
        image.save(path, kind, **(options if chance.random() < 0.3 else {}))
    except (OSError, TypeError, ValueError):  # a mode or option that the format does not have
        image.save(path, "TIFF")


# Other readers.


def meant(name: str) -> str:
    """A class, or what a name of none means."""
    number = meaning(name.strip())
    if number is None:
        return normalize("NFC", name.strip())
    return "ignore" if number else "background"


def corners(left: float, top: float, right: float, bottom: float, degrees: float = 0, about: Any = None) -> Any:
    """Corners x + yi of a box that is turned clockwise about a point, by default its centre."""
    middle = complex(left + right, top + bottom) / 2 if about is None else about
    flat = np.array([complex(left, top), complex(right, top), complex(right, bottom), complex(left, bottom)])
    return middle + (flat - middle) * np.exp(1j * np.deg2rad(degrees))


def painted(boxes: list[Any], masks: Masks) -> np.ndarray:
    """(H, W) of class names."""
    names = np.full(SHAPE, "background", object)
    for box in boxes:
        (left, right), (top, bottom) = ((one.min(), one.max()) for one in (box.real.round(6), box.imag.round(6)))
        left, top, right, bottom = (max(0, int(side)) for side in (left, top, np.ceil(right), np.ceil(bottom)))
        names[top:bottom, left:right] = "ignore"
    for name, mask in masks:
        names[mask.astype(bool)] = name
    return names


def filled(*polygons: Any) -> np.ndarray:
    return RLE.decode(RLE.merge(RLE.frPyObjects([np.asarray(one, float).ravel().tolist() for one in polygons], *SHAPE)))


def oval(x: float, y: float, across: float, down: float, degrees: float) -> np.ndarray:
    turned = (COLUMNS + 0.5 - x + 1j * (ROWS + 0.5 - y)) * np.exp(-1j * np.deg2rad(degrees))
    return (turned.real / across) ** 2 + (turned.imag / down) ** 2 <= 1


def read_coco(folder: Path) -> Shapes:
    document = json.loads((folder / "annotations/instances_train.json").read_text())
    names = {float(one["id"]): meant(one["name"]) for one in document["categories"]}
    for image in document["images"]:
        boxes, masks, crowds = list[Any](), Masks(), Masks()
        for one in document["annotations"]:
            given = one.get("segmentation")
            if one["image_id"] != image["id"]:
                continue
            if not given:
                x, y, width, height = map(float, one["bbox"])
                boxes.append(corners(x, y, x + width, y + height, (one.get("attributes") or {}).get("rotation", 0)))
            else:
                mask = RLE.decode(RLE.frPyObjects(given, *SHAPE)) if isinstance(given, dict) else filled(*given)
                if int(one.get("iscrowd") or 0):
                    crowds.append(("ignore", mask))
                else:
                    masks.append((names[float(one["category_id"])], mask))
        yield Path(image["file_name"]).stem, boxes, [*crowds, *sorted(masks, key=lambda pair: -pair[1].sum())]


def read_yolo(folder: Path) -> Shapes:
    listed = re.findall(r'(\S+): "(.*)"', (folder / "data.yaml").read_text())
    names = {int(number): meant(name) for number, name in listed}
    for stem in "ab":
        boxes, masks = [], []
        for line in filter(str.strip, (folder / f"labels/{stem}.txt").read_text().splitlines()):
            number, *shares = map(float, line.split())
            points = np.reshape(shares, (-1, 2)).clip(0, 1) * (WIDTH, HEIGHT)
            if len(points) == 2:
                boxes.append(corners(*(points[0] - points[1] / 2), *(points[0] + points[1] / 2)))
            else:
                flat = np.floor(points + 0.01).clip(0, (WIDTH - 1, HEIGHT - 1))
                image = Image.new("1", (WIDTH, HEIGHT))
                ImageDraw.Draw(image).polygon([tuple(point) for point in flat], fill=1, outline=1)
                masks.append((names[int(number)], np.asarray(image)))
        yield stem, boxes, sorted(masks, key=lambda mask: -mask[1].sum())


def read_labelme(folder: Path) -> Shapes:
    boxes, masks = [], []
    for shape in json.loads((folder / "a.json").read_text())["shapes"]:
        points, image = [tuple(point) for point in shape["points"]], Image.new("1", (WIDTH, HEIGHT))
        draw, kind = ImageDraw.Draw(image), shape.get("shape_type") or "polygon"
        if kind == "circle":
            draw.circle(points[0], np.hypot(*np.subtract(*points)), fill=1, outline=1)
        elif kind == "rectangle" and len(points) == 2:
            draw.rectangle((*np.min(points, 0), *np.max(points, 0)), fill=1, outline=1)
        elif kind in ("polygon", "rectangle", "oriented_rectangle", "rotation"):
            draw.polygon(points, fill=1, outline=1)
        elif kind not in ("line", "linestrip", "point", "points") and len(points) > 2:
            boxes.append(corners(*np.min(points, 0), *np.max(points, 0)))
        masks.append((meant(shape["label"]), np.asarray(image)))
    yield "a", boxes, masks


def read_cvat(folder: Path) -> Shapes:
    for image in ElementTree.parse(folder / "annotations.xml").iter("image"):
        boxes, masks = [], []
        for one in sorted(image, key=lambda one: int(one.get("z_order", 0))):
            label, numbers = meant(one.get("label", "")), lambda *keys, of=one: [float(of.get(key, 0)) for key in keys]
            if one.tag == "box":
                boxes.append(corners(*numbers("xtl", "ytl", "xbr", "ybr", "rotation")))
            elif one.tag == "mask":
                left, top, width, height = map(int, numbers("left", "top", "width", "height"))
                counts, mask = [*map(int, one.attrib["rle"].split(","))], np.zeros(SHAPE, bool)
                inside = np.repeat(np.arange(len(counts)) % 2, counts)
                mask[top : top + height, left : left + width] = inside.reshape(height, width)
                masks.append((label, mask))
            elif one.tag == "polygon":
                masks.append((label, filled([pair.split(",") for pair in one.attrib["points"].split(";")])))
            elif one.tag == "ellipse":
                masks.append((label, oval(*numbers("cx", "cy", "rx", "ry", "rotation"))))
        yield Path(image.attrib["name"]).stem, boxes, masks


def read_studio(folder: Path) -> Shapes:
    percent = np.array([WIDTH, HEIGHT]) / 100
    for task in json.loads((folder / "tasks.json").read_text()):
        boxes, masks = [], []
        for result in task["annotations"][0]["result"]:
            value, kind = result["value"], result["type"]
            if kind == "polygonlabels":
                masks.append((meant(value[kind][0]), filled(np.multiply(value["points"], percent))))
                continue
            (x, y), turn = percent * (value["x"], value["y"]), value.get("rotation", 0)
            if kind == "rectanglelabels":
                right, bottom = (x, y) + percent * (value["width"], value["height"])
                boxes.append(corners(x, y, right, bottom, turn, complex(x, y)))
            elif kind == "ellipselabels":
                across, down = percent * (value["radiusX"], value["radiusY"])
                masks.append((meant(value[kind][0]), oval(x, y, across, down, turn)))
        yield Path(task["data"]["image"]).stem, boxes, masks


def read_ids(folder: Path) -> Shapes:
    """The ids that are in masks however they were changed, by the lines of classes.txt."""
    text = (folder / "classes.txt").read_text() if (folder / "classes.txt").exists() else NAMES
    names = [meant(line) for line in filter(str.strip, text.splitlines())]
    if names[0] not in ("background", "ignore"):
        names.insert(0, "background")
    for stem, labels in MAPS.items():
        yield stem, [], [(name, labels == number) for number, name in (*enumerate(names), (255, "ignore"))]


def same_labels(read: Callable[[Path], Shapes], near: int = 0) -> bool:
    """Whether the set `out` has the labels of the folder `in`, but for `near` pixels beside edges."""
    classes, samples = open_native("out")
    table = np.array(["background", *classes, *["?"] * (254 - len(classes)), "ignore"], object)
    ours = {Path(sample.name).name: table[sample.label_map] for sample in samples}
    for stem, boxes, masks in read(Path("in")):
        theirs = painted(boxes, masks)
        _, numbers = np.unique(theirs.astype(str), return_inverse=True)
        edges = np.ptp(sliding_window_view(np.pad(numbers.reshape(SHAPE), near, "edge"), (2 * near + 1,) * 2), (2, 3))
        if stem not in ours or ((ours[stem] != theirs) & (edges == 0)).any():
            return read is read_ids and stem not in ours
    return True


def perfect() -> bool:
    """Whether predictions that are the labels get 100 %."""
    assert Path("in/classes.txt").read_text() == NAMES
    return json.loads(Path("out.json").read_text())["miou"] == 1


def same_pixels() -> bool:
    return np.abs(read_photo("in/a.png").astype(int) - PHOTO[..., None]).max() <= 12  # GIF has fewer colours


# The kinds of input.


def folder_of(images: str, masks: str = "", **files: str) -> Callable[[Path], None]:
    """A function that writes pictures, masks, and texts, in whose names __ is a slash and the last _ a dot."""

    def make(folder: Path) -> None:
        for stem, labels in MAPS.items():
            for places, pixels in ((images, PHOTO), (masks, labels)):
                if places:
                    (folder / places).mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(folder / places / f"{stem}.png")
        for name, text in files.items():
            save(folder / ".".join(name.replace("__", "/").rsplit("_", 1)), text)

    return make


def native(folder: Path) -> None:
    folder_of("images", "masks", classes_txt=NAMES)(Path("masked"))
    seediff(["import", "masked", "--out", str(folder)])


def parquet(folder: Path) -> None:
    native(Path("set"))
    seediff(["export", "set", "--to", "parquet", "--out", str(folder)])


def model(folder: Path) -> None:
    from builders.twins import save_mini  # pyright: ignore[reportMissingImports]

    save_mini(folder, 8)


def transformer(folder: Path) -> None:
    from builders.reference_attentions.sd3 import save_sd3  # pyright: ignore[reportMissingImports]

    save_sd3(folder)


def sam(folder: Path) -> None:
    import test_sam  # pyright: ignore[reportMissingImports]

    test_sam.save_sam2(folder)


def read_as_photo() -> None:
    read_photo("in/a.png")


def refine() -> None:
    import torch

    from seediff.masks.sam import refine_by_sam

    refine_by_sam(np.stack([PHOTO] * 3, 2), torch.full((1, *SHAPE), 0.9), "in", [0.3])


IMPORT = "import in --out out"
DRAW = "generate --model in --classes dog,cat --per-class 1 --steps 1 --device cpu --threads 1 --quiet --out out"
KINDS: dict[str, tuple[Callable[[Path], object], str | Callable[[], object], Callable[[], bool] | None]] = {
    "coco": (folder_of("images", annotations__instances_train_json=COCO), IMPORT, partial(same_labels, read_coco)),
    "labelme": (folder_of(".", a_json=LABELME), IMPORT, partial(same_labels, read_labelme)),
    "cvat": (folder_of("images", annotations_xml=CVAT), IMPORT, partial(same_labels, read_cvat, 1)),
    "labelstudio": (folder_of(".", tasks_json=STUDIO), IMPORT, partial(same_labels, read_studio, 1)),
    "yolo": (
        folder_of("images", data_yaml=YAML, labels__a_txt=YOLO, labels__b_txt="1 .2 .3 .6 .3 .6 .7 .2 .7\n"),
        IMPORT,
        partial(same_labels, read_yolo, 1),
    ),
    "masks": (folder_of("images", "masks", classes_txt=NAMES), IMPORT, partial(same_labels, read_ids)),
    "voc": (
        folder_of("JPEGImages", "SegmentationClass", classes_txt=NAMES, ImageSets__Segmentation__val_txt="a\nb\n"),
        IMPORT,
        partial(same_labels, read_ids),
    ),
    "native": (native, "filter in --out out", partial(same_labels, read_ids)),
    "parquet": (parquet, IMPORT, partial(same_labels, read_ids)),
    "evaluate": (
        folder_of("", "masks", classes_txt=NAMES),
        "evaluate in/masks --data ../native --json out.json --draws 10 --quiet",
        perfect,
    ),
    "photo": (folder_of("."), read_as_photo, same_pixels),
    "toml": (folder_of("", settings_toml=TOML), "generate --config in/settings.toml --dry-run --out out", None),
    "model": (model, DRAW, None),
    "transformer": (transformer, DRAW, None),
    "sam": (sam, refine, None),
}
GOOD, BAD = ("accepted", "apart", "refused"), ("differs", "unhelpful", "memory", "crash", "hang", "signal")


def change(folder: Path, chance: random.Random) -> list[str]:
    """Change up to three files in a folder, whose names it returns; pictures more rarely than labels."""
    files = sorted(path for path in folder.rglob("*") if path.suffix not in (".md", ".html") and path.is_file())
    masks = [bool({"masks", "SegmentationClass"} & {*path.parts}) for path in files]
    rare = [path.suffix == ".png" and not mask for path, mask in zip(files, masks, strict=True)]
    chosen = chance.choices(range(len(files)), [1 if one else 4 for one in rare], k=chance.choice((1, 1, 2, 3)))
    for number in dict.fromkeys(chosen):
        step = change_photo if rare[number] else change_text
        if masks[number]:
            step = change_mask
        if files[number].suffix == ".parquet" or chance.random() < 0.1:
            step = change_bytes
        step(files[number], chance)
    return [files[number].name for number in chosen]


def outcome(act: str | Callable[[], object], same: Callable[[], bool] | None) -> tuple[str, str]:
    """Read the folder `in`, and compare; returns the outcome and its line."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(output):
            code = seediff(act.split()) if isinstance(act, str) else act() and 0
        text = output.getvalue().strip().rpartition("\n")[2]
    except UserError as error:
        code, text = 2, str(error)
    except BaseException:
        return "crash", traceback.format_exc()
    if re.search("out of memory|MemoryError|allocate memory", text):
        return "memory", text
    if code == 2:
        poor = not text or text.endswith(":") or re.search(r"[A-Z]\w+(Error|Exception)\b|above report", text)
        return "unhelpful" if poor else "refused", text
    if code:
        return "crash", text
    try:
        return "accepted" if same is None or same() else "differs", text
    except Exception as error:
        return "apart", repr(error)


def attempt(folder: Path, *given: Any) -> tuple[str, str]:
    """The outcome in a fork of this process, whose current folder is `folder`."""
    child = os.fork()
    if not child:
        os.chdir(folder)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        Path("outcome.json").write_text(json.dumps(outcome(*given)))
        os._exit(0)
    number = os.WTERMSIG(os.waitpid(child, 0)[1])
    if number:
        return "hang" if number == signal.SIGALRM else "signal", str(number)
    return tuple(json.loads((folder / "outcome.json").read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=[*KINDS])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("failing"))
    given = parser.parse_args()
    keep = given.keep.absolute()
    keep.mkdir(parents=True)
    warm_up()
    counts = {name: Counter[str]() for name in given.kinds}
    with tempfile.TemporaryDirectory() as top, (keep / "cases.txt").open("w", encoding="utf-8") as log:
        for name in {*given.kinds, "native"}:
            scratch = Path(top, f"{name}.scratch")
            scratch.mkdir()
            found = attempt(scratch, partial(KINDS[name][0], Path(top, name)), None)
            assert found[0] == "accepted", (name, found)
        for number in range(given.cases):
            name = given.kinds[number % len(given.kinds)]
            case, chance = Path(top, "case"), random.Random(f"{given.seed} {number}")
            shutil.copytree(Path(top, name), case / "in", copy_function=os.link)
            changed = change(case / "in", chance)
            found, text = attempt(case, *KINDS[name][1:])
            counts[name][found] += 1
            print(f"{name} {number} ({', '.join(changed)}): {found}: {text}", file=log, flush=True)
            if found in BAD:
                shutil.copytree(case / "in", keep / f"{name}-{number}")
            shutil.rmtree(case)
    print(f"| kind | {' | '.join((*GOOD, *BAD))} |\n|---|{'--:|' * 9}")
    for name, found in counts.items():
        print(f"| {name} | {' | '.join(str(found[one]) for one in (*GOOD, *BAD))} |")


if __name__ == "__main__":
    main()
