"""Makes random changes of good inputs, runs what reads them, and counts what comes of it by kind of input.

    python benchmarks/random_changes.py --cases 3000 --seed 1 --keep failing      # 10 minutes of one core
    python benchmarks/random_changes.py coco masks --cases 500                    # some kinds of input

A case changes up to three files of a copy: a value or line of a text, a value in the header of weights, the bytes,
bits, mode, palette or size of a picture. A fork of this process reads it, with limits of time and memory. Labels of
COCO, YOLO, labelme and masks that are accepted are compared with those of another reader, written here with numpy,
Pillow and pycocotools: it reads the file as it was changed, and knows what a picture holds. In the kind "cuts", objects
of a damaged set are also cut, joined, painted and restored at random, and compared after every step.

Good are "accepted" (with the same labels), "apart" (accepted, but the other reader fails) and "refused" (a line, and
exit code 2). Wrong are "differs", "unhelpful" (the line is empty, ends at a colon, or names a class of Python),
"memory", "crash", "hang" and "signal": then the exit code is 1. `--keep` gets a list of all cases, and the folders of
wrong ones. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import pkgutil
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

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as rle
from scipy.ndimage import binary_dilation, label, maximum_filter, minimum_filter

sys.path += [str(Path(__file__).parents[1] / part) for part in ("", "tests", "tests/builders", "tests/masks")]

from builders.layouts import save, save_png  # pyright: ignore[reportMissingImports]

from seediff.cli.main import main as seediff
from seediff.config.class_names import reserved_id
from seediff.dataset.native import open_native
from seediff.errors import UserError
from seediff.files.image_files import read_photo
from seediff.look.answers import Act, edit_of
from seediff.look.store import Edit, Store

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
  {"id": 5, "image_id": 2, "category_id": 1, "bbox": [20, 2, 8, 4]}]}"""
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
attempts = 3
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
YAML = 'train: images\nnames:\n  0: "dog"\n  1: "cat"\n'
YOLO = "0 .1 .1 .5 .1 .5 .5\n1 .4 .45 .9 .45 .9 .8\n1 .2 .8 .1 .2\n"
NAMES = "background\ndog\ncat\n"
VALUES = (None, True, 0, -1, 1, 2, 0.5, 300, 10**9, 2**63, 1e300, float("nan"), "", "dog", "é", "../a.png", "5", [], {})
VALUES += ([1, 2], [[1, 2, 3, 4]], {"rotation": 30}, "255", "ignore", "background", "cafe\u0301", " ", "/a", "cat")
VALUE = re.compile(r'"[^"\n]*"|[\w.+-]+')
"""A text in quotes, a word or a number."""
Shapes = Iterator[tuple[str, list[tuple[str, np.ndarray]]]]
"""Last part of a picture's name, and (class, (H, W) bool) of its shapes, later ones over earlier ones."""


# Changes of a file, which is a link to the good one.


def change_bytes(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    at = chance.randrange(len(data) + 1)
    path.unlink()
    path.write_bytes(chance.choice((data[:at], data + b"\0", data[:at] + chance.randbytes(1) + data[at + 1 :])))


def text_changed(text: str, chance: random.Random) -> str:
    """Another value, or a line more or less."""
    if chance.random() < 0.2:
        lines = text.splitlines(keepends=True)
        lines[chance.randrange(len(lines))] *= chance.choice((0, 2))
        return "".join(lines)
    values = list(VALUE.finditer(text))
    value = chance.choice(values)
    new = [json.dumps(chance.choice(VALUES), ensure_ascii=False), chance.choice(values)[0]]
    if number := re.search(r"-?\d+(\.\d+)?", value[0]):
        for other in (-float(number[0]), float(number[0]) + 1, float(number[0]) * 2, 1e9):
            new.append(value[0].replace(number[0], f"{other:g}", 1))
    elif value[0].startswith('"'):
        inner = value[0].strip('"')
        new += [f'"{other}"' for other in (inner.upper(), f" {inner}", f"{inner}é", inner[:-1], f"sub/{inner}")]
    return text[: value.start()] + chance.choice(new) + text[value.end() :]


def change_text(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.unlink()
    if path.suffix == ".safetensors":
        end = 8 + int.from_bytes(data[:8], "little")
        header = text_changed(data[8:end].decode(), chance).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + data[end:])
    else:
        path.write_text(text_changed(data.decode(), chance))


def change_picture(path: Path, chance: random.Random) -> None:
    """The same ids or the same photograph in another kind of file, or in another place."""
    is_mask = "masks" in path.parts
    pixels = MAPS[path.stem] if is_mask else PHOTO
    path.unlink()
    if chance.random() < 0.3:  # as numbers, with bits and PNG's colour type
        wide = pixels.astype(int) * 257
        bits = (8, 16) if pixels.max() > 15 else (2, 4, 8, 16)
        rows = [(pixels, chance.choice(bits), 0), (wide, 16, 0), (np.dstack([pixels, pixels > 0]) * (1, 255), 8, 4)]
        numbers, depth, colours = chance.choice(rows)
        save_png(path, numbers, bits=depth, kind=colours)
        return
    image = Image.fromarray(pixels)
    palette = image.copy()
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *[n // 3 for n in range(9, 765)], 224, 224, 192])
    images = [image, image.resize((7, 7)), image.transpose(Image.Transpose.TRANSPOSE)]
    images += [image.convert(mode) for mode in ("RGB", "LA", "RGBA", "F", "I")]
    if is_mask:
        images += [palette, palette.convert("RGB"), palette.remap_palette([3, 2, 1, 0, *range(4, 256)])]
    try:
        chance.choice(images).save(path, chance.choice(["PNG"] * 9 + ["TIFF", "BMP", "GIF", "JPEG", "WEBP"]))
    except (OSError, ValueError):  # a mode that the format does not have
        image.save(path, "TIFF")


def change(folder: Path, chance: random.Random) -> list[str]:
    """Change up to three files in a folder, whose names it returns; pictures more rarely than labels."""
    files = sorted(path for path in folder.rglob("*") if path.suffix not in (".md", ".html") and path.is_file())
    weights = [1 if path.suffix == ".png" and "masks" not in path.parts else 4 for path in files]
    chosen = set(chance.choices(files, weights, k=chance.choice((1, 1, 2, 3))))
    for path in sorted(chosen):
        step = change_picture if path.suffix == ".png" else change_text
        if chance.random() < 0.1:
            step = change_bytes
        step(path, chance)
    return [path.name for path in sorted(chosen)]


# Other readers.


def meant(name: str) -> str:
    """A class, or what a name of none means."""
    number = reserved_id(name.strip())
    if number is None:
        return normalize("NFC", name.strip())
    return "ignore" if number else "background"


def box(left: float, top: float, right: float, bottom: float) -> tuple[str, np.ndarray]:
    """A box without a mask, which is ignored."""
    inside = np.zeros(SHAPE, bool)
    left, top, right, bottom = np.clip([int(left), int(top), np.ceil(right), np.ceil(bottom)], 0, WIDTH).astype(int)
    inside[top:bottom, left:right] = True
    return "ignore", inside


def drawn(kind: str, *points: Any) -> np.ndarray:
    """A shape as Pillow fills it."""
    image = Image.new("1", (WIDTH, HEIGHT))
    getattr(ImageDraw.Draw(image), kind)(*points, fill=1, outline=1)
    return np.asarray(image)


def area(shape: tuple[str, np.ndarray]) -> int:
    return int(shape[1].sum())


def upright(points: Any) -> bool:
    """Whether a polygon is a box: four corners, whose sides are parallel to the image's. Boxes say no outline."""
    corners = np.reshape(points, (-1, 2)).astype(float)
    corners = corners[:4] if len(corners) == 5 and (corners[0] == corners[4]).all() else corners
    near = np.abs(np.roll(corners, -1, 0) - corners) <= 0.001 * np.ptp(corners, 0).max()
    return len(corners) == 4 and near.tolist() in (
        [[True, False], [False, True]] * 2,
        [[False, True], [True, False]] * 2,
    )


def turned(corners: np.ndarray) -> bool:
    """Whether four corners are those of a turned box: its diagonals have one middle."""
    return len(corners) == 4 and bool(
        np.abs(corners[[0, 1]] + corners[[2, 3]] - corners[0] - corners[2]).max() <= 0.003
    )


def read_coco(folder: Path) -> Shapes:
    document = json.loads((folder / "annotations/instances_train.json").read_text())
    names = {float(one["id"]): meant(one["name"]) for one in document["categories"]}
    for image in document["images"]:
        boxes, crowds, masks = [], [], []
        for one in document["annotations"]:
            given = one.get("segmentation")
            if one["image_id"] != image["id"]:
                continue
            if not given:
                x, y, width, height = map(float, one["bbox"])
                boxes.append(box(x, y, x + width, y + height))
                continue
            polygons = given if isinstance(given, dict) else [np.ravel(each).astype(float).tolist() for each in given]
            found = RLE.frPyObjects(polygons, *SHAPE)
            mask = RLE.decode(found if isinstance(given, dict) else RLE.merge(found)).astype(bool)
            if isinstance(given, list) and len(given) == 1 and upright(given) and not int(one.get("iscrowd") or 0):
                boxes.append(("ignore", mask))
            elif int(one.get("iscrowd") or 0):
                crowds.append(("ignore", mask))
            else:
                masks.append((names[float(one["category_id"])], mask))
        yield Path(image["file_name"]).stem, [*boxes, *crowds, *sorted(masks, key=area, reverse=True)]


def read_yolo(folder: Path) -> Shapes:
    listed = re.findall(r'(\S+): "(.*)"', (folder / "data.yaml").read_text())
    names = {int(number): meant(name) for number, name in listed}
    for stem in "ab":
        boxes, masks = [], []
        for line in filter(str.strip, (folder / f"labels/{stem}.txt").read_text().splitlines()):
            number, *shares = map(float, line.split())
            points = np.reshape(shares, (-1, 2)).clip(0, 1) * (WIDTH, HEIGHT)
            if len(points) == 2:
                boxes.append(box(*(points[0] - points[1] / 2), *(points[0] + points[1] / 2)))
            else:
                flat = np.floor(points + 0.01).clip(0, (WIDTH - 1, HEIGHT - 1))
                mask = drawn("polygon", [tuple(point) for point in flat])
                is_box = upright(shares) or turned(np.reshape(shares, (-1, 2)))
                boxes.append(("ignore", mask)) if is_box else masks.append((names[int(number)], mask))
        yield stem, [*boxes, *sorted(masks, key=area, reverse=True)]


def read_labelme(folder: Path) -> Shapes:
    boxes, masks = [], []
    for shape in json.loads((folder / "a.json").read_text())["shapes"]:
        points, kind = [tuple(point) for point in shape["points"]], shape.get("shape_type") or "polygon"
        if kind == "circle":
            mask = drawn("circle", points[0], np.hypot(*np.subtract(*points)))
        elif kind == "rectangle" and len(points) == 2:
            mask = drawn("rectangle", (*np.min(points, 0), *np.max(points, 0)))
        elif kind in ("polygon", "rectangle", "oriented_rectangle", "rotation"):
            mask = drawn("polygon", points)
        else:
            if kind not in ("line", "linestrip", "point", "points") and len(points) > 2:
                boxes.append(box(*np.min(points, 0), *np.max(points, 0)))
            continue
        is_box = kind in ("rectangle", "oriented_rectangle", "rotation") or (kind == "polygon" and upright(points))
        boxes.append(("ignore", mask)) if is_box else masks.append((meant(shape["label"]), mask))
    yield "a", [*boxes, *masks]


def read_ids(folder: Path) -> Shapes:
    """The ids that are in masks however they were changed, by the lines of classes.txt."""
    text = (folder / "classes.txt").read_text() if (folder / "classes.txt").exists() else NAMES
    names = [meant(line) for line in filter(str.strip, text.splitlines())]
    if names[0] not in ("background", "ignore"):
        names.insert(0, "background")
    for stem, labels in MAPS.items():
        yield stem, [(name, labels == number) for number, name in (*enumerate(names), (255, "ignore"))]


def same_labels(read: Callable[[Path], Shapes], near: int = 0) -> bool:
    """Whether the set `out` has the labels of the folder `in`, but for `near` pixels beside edges."""
    classes, samples = open_native("out")
    ids = {"ignore": 255, **{name: number for number, name in enumerate(["background", *classes])}}
    ours = {Path(sample.name).name: sample.label_map for sample in samples}
    for stem, shapes in read(Path("in")):
        theirs = np.zeros(SHAPE, np.uint8)
        for name, mask in shapes:
            theirs[mask] = ids.get(name, 254)
        size = 2 * near + 1
        flat = maximum_filter(theirs, size) == minimum_filter(theirs, size)
        if stem not in ours or (flat & (ours[stem] != theirs)).any():
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


CORNERS = np.ones((3, 3))
Division = set[tuple[int, bytes]]
"""(class, (H, W) bool) of each object."""


def division(labels: np.ndarray, numbers: np.ndarray) -> Division:
    """The objects with these numbers; pixels without a class are none."""
    pairs = np.unique(np.stack([labels, numbers])[:, (labels % 255 > 0) & (numbers > 0)], axis=1).T.tolist()
    return {(one, ((labels == one) & (numbers == number)).tobytes()) for one, number in pairs}


def divided(folder: Path) -> None:
    """A set in which a dog is cut in two, and joined to other pieces in the other picture."""
    native(folder)
    store = Store(folder, by="ann")
    cut = Act(samples=(), action="cut", points=((0, 9), (32, 9)))
    join = Act(samples=(), action="join", points=((0, 20), (31, 12)))
    for number, asked in enumerate((cut, join)):
        edit = edit_of(asked, number)
        store.act([(number, 0)], lambda _, edit=edit: edit)
    store.close()


def divide() -> None:
    """Cut, join, paint and restore at random in a copy of the folder `in`, then write `out` by `filter`."""
    shutil.copytree("in", "set")
    chance = random.Random(b"".join(path.read_bytes() for path in sorted(Path("in").rglob("*.*"))))
    store = Store(Path("set"), by="ann")
    states: dict[tuple[int, int], Division] = {}

    def now(number: int) -> Division:
        sample = store.reviewed(store.state(number))
        return division(sample.label_map, sample.objects(sample.label_map).numbers)

    for number in [chance.randrange(len(store.samples)) for _ in range(8)]:
        state, before = store.state(number), now(number)
        states[number, state.version] = before
        kind = chance.choice(("cut", "cut", "join", "join", "brush", "undo"))
        points = tuple((chance.uniform(-3, 35), chance.uniform(-3, 27)) for _ in range(chance.choice((1, 2, 3))))
        pixels = np.argwhere(store.labels(state) == chance.choice((1, 2)))[:, ::-1].tolist()
        if kind == "join" and pixels:
            points = tuple((x, y) for x, y in chance.choices(pixels, k=2))
        asked = Act(samples=(), action="join" if kind == "join" else "cut", points=points)
        edit = edit_of(asked, number)
        image = Image.new("1", (WIDTH, HEIGHT))
        ImageDraw.Draw(image).line([*points, points[-1]], 1)
        near = np.asarray(binary_dilation(image, CORNERS), bool)
        if kind == "brush":
            edit = Edit("brush", partial(np.where, near, np.uint8(chance.randrange(3))))
        elif kind == "undo":
            edit = Edit("undo", to=chance.choice([to for at, to in states if at == number]))
        store.act([(number, state.version)], lambda _, edit=edit: edit)
        after = now(number)
        if kind == "undo":
            assert after == states[number, edit.to or 0]
        elif kind == "cut":
            for of, pixels in before:
                inside = np.frombuffer(pixels, bool).reshape(SHAPE)
                parts, count = pieces_of(inside & ~near)
                for part in (*(parts == one for one in range(1, count + 1)), inside & (not (inside & near).any())):
                    owners = [one for one in after if (np.frombuffer(one[1], bool).reshape(SHAPE) & part).any()]
                    assert len(owners) <= 1, (of, points)
            assert sum(pixels.count(1) for _, pixels in after) >= sum(pixels.count(1) for _, pixels in before)
        elif kind == "join":
            assert len(before - after) <= len(points), points
            assert len(after - before) <= 1
    store.close()
    if seediff(["filter", "set", "--out", "out", "--min-area", "0"]):
        raise UserError("set", "`filter` refused it")


def pieces_of(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """(map, number) of the connected pieces of a mask (H, W) bool; the map is (H, W) with 0 outside of them."""
    found: Any = label(mask, CORNERS)
    return found


def same_division() -> bool:
    """Whether `out` has the objects that the last lines of review.jsonl say."""
    last = {one["sample"]: one for one in map(json.loads, Path("set/review.jsonl").read_text().splitlines())}
    for sample in open_native("out")[1]:
        row = last.get(sample.name, {})
        labels = np.array(Image.open("set/" + (row.get("mask") or f"masks/{sample.name}.png")))
        numbers = np.zeros(SHAPE, int)
        for one in range(1, 255):
            pieces, _ = pieces_of(labels == one)
            numbers += np.where(pieces > 0, pieces + numbers.max(), 0)
        if row.get("objects"):
            numbers = np.array(Image.open("set/" + row["objects"]), int)
            classes = np.zeros(numbers.max() + 1, int)
            classes[numbers] = labels  # an object has one class: in a damaged file, its last pixel's
            numbers[classes[numbers] != labels] = 0
        if division(labels, numbers) != division(sample.label_map, sample.objects(sample.label_map).numbers):
            return False
    return True


def model(folder: Path) -> None:
    from builders.twins import save_mini  # pyright: ignore[reportMissingImports]

    save_mini(folder, 8)


def sam(folder: Path) -> None:
    import test_sam  # pyright: ignore[reportMissingImports]

    test_sam.save_sam2(folder)


def refine() -> None:
    import torch

    from seediff.masks.sam import refine_by_sam

    refine_by_sam(np.stack([PHOTO] * 3, 2), torch.full((1, *SHAPE), 0.9), "in", [0.3])


IMPORT = "import in --out out"
DRAW = "generate --model in --classes dog,cat --per-class 1 --steps 1 --device cpu --threads 1 --quiet --out out"
KINDS: dict[str, tuple[Callable[[Path], object], str | Callable[[], object], Callable[[], bool] | None]] = {
    "coco": (folder_of("images", annotations__instances_train_json=COCO), IMPORT, partial(same_labels, read_coco)),
    "labelme": (folder_of(".", a_json=LABELME), IMPORT, partial(same_labels, read_labelme)),
    "cvat": (folder_of("images", annotations_xml=CVAT), IMPORT, None),
    "labelstudio": (folder_of(".", tasks_json=STUDIO), IMPORT, None),
    "yolo": (
        folder_of("images", data_yaml=YAML, labels__a_txt=YOLO, labels__b_txt="1 .2 .3 .6 .3 .6 .7 .2 .7\n"),
        IMPORT,
        partial(same_labels, read_yolo, 1),
    ),
    "masks": (folder_of("images", "masks", classes_txt=NAMES), IMPORT, partial(same_labels, read_ids)),
    "native": (native, "filter in --out out", partial(same_labels, read_ids)),
    "cuts": (divided, divide, same_division),
    "evaluate": (
        folder_of("", "masks", classes_txt=NAMES),
        "evaluate in/masks --data ../native --json out.json --draws 10 --quiet",
        perfect,
    ),
    "photo": (folder_of("."), lambda: read_photo("in/a.png") is None, same_pixels),
    "toml": (folder_of("", settings_toml=TOML), "generate --config in/settings.toml --dry-run --out out", None),
    "model": (model, DRAW, None),
    "sam": (sam, refine, None),
}
GOOD, BAD = ("accepted", "apart", "refused"), ("differs", "unhelpful", "memory", "crash", "hang", "signal")


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


def warm_up() -> None:
    """Import what commands import, so that no attempt has to. Must not use torch's threads, which a fork would not
    have.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "SEEDIFF_DEBUG": "0", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer, SegformerForSemanticSegmentation

    torch.set_num_threads(1)
    # Libraries import these parts when they are first accessed.
    assert all((AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel))
    assert all((CLIPTextModel, CLIPTokenizer, SegformerForSemanticSegmentation))
    import seediff

    modules = [module.name for module in pkgutil.walk_packages(seediff.__path__, "seediff.")]
    modules.remove("seediff.__main__")
    for name in (*modules, "pyarrow.parquet", "scipy.ndimage", "rich.progress", "safetensors.torch"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


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


def main() -> int:
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
    return int(any(found[one] for found in counts.values() for one in BAD))


if __name__ == "__main__":
    sys.exit(main())
