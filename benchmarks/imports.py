"""What `import` reads of other tools' layouts, against pycocotools and PIL: sets that this script writes, compared pixel by pixel.

    PYTHONPATH=src python benchmarks/imports.py                     # 40 pictures a layout, half a minute on one core
    PYTHONPATH=src python benchmarks/imports.py --images 60 --json docs/imports.json

Each set is written as its tool does, by Pillow, json and pycocotools alone, from label maps of smooth regions. The reference paints what
pycocotools decodes in the order of areas, or takes what Pillow reads; YOLO's polygons are compared with the maps that they outline. Shown
is in how many pixels SeeDiff's label maps differ from it, of how many.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from evaluate import smooth_regions
from PIL import Image
from pycocotools import mask as api

from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.yolo import as_yolo
from seediff.dataset.sample import Sample
from seediff.dataset.shapes.objects import find_objects
from seediff.evaluate.layouts import open_evaluation
from seediff.files.label_maps import voc_palette

SIDE, CLASSES = 96, ("cat", "dog", "bus")
Truths = dict[str, np.ndarray]
"""Sample's name → label map of the reference."""
COLOURS = [(0, 0, 0), (140, 120, 240), (250, 50, 83), (61, 245, 61)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40, help="in each layout")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for layout, against, write in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            rng = np.random.default_rng(0)
            truths, items = write(Path(folder), [label_map(rng) for _ in range(given.images)])
            differing = sum(int((item.labels(254) != truths[item.name]).sum()) for item in items)
            assert {item.name for item in items} == set(truths)
            pixels = sum(truth.size for truth in truths.values())
            rows.append({"layout": layout, "against": against, "pictures": len(items), "pixels": pixels, "differing": differing})
    print("| layout | pictures | against | pixels | differing |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['layout']} | {row['pictures']} | {row['against']} | {row['pixels']:,} | {row['differing']} |")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def label_map(rng: np.random.Generator) -> np.ndarray:
    """(96, 96) uint8: three classes in a background, with a frame of 255 in the corner."""
    labels = np.array([0, 1, 2, 0, 3, 0], np.uint8)[smooth_regions(rng, 6, SIDE)]
    labels[:3, :3] = 255
    return labels


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def without_ignored(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 255, 0, labels).astype(np.uint8)


def coco(
    root: Path, maps: list[np.ndarray], *, part: str, file: str, pictures: str, categories: list[dict[str, Any]], polygons: bool
) -> Truths:
    """A COCO file of one part; an annotation a class, RLE or rough polygons, in ids from 1. Returns what pycocotools makes of it."""
    images, annotations, truths = [], [], {}
    for number, labels in enumerate(maps, 1):
        name = f"{part}{number:04d}"
        picture(root / pictures / f"{name}.jpg", number)
        images.append({"id": number, "file_name": f"{name}.jpg", "width": SIDE, "height": SIDE})
        found = []
        for class_id in (1, 2, 3):
            inside = np.asfortranarray((labels == class_id).astype(np.uint8))
            rle: Any = api.encode(inside)
            shown: Any = {"size": rle["size"], "counts": rle["counts"].decode()}
            if polygons:
                rows, columns = np.nonzero(inside)
                if not len(rows):
                    continue
                left, top, right, bottom = float(columns.min()), float(rows.min()), columns.max() + 1.5, rows.max() + 0.25
                shown = [[left, top, right, top + 2, right - 3.5, bottom, left + 1.25, bottom - 1]]
                rle = api.merge(api.frPyObjects(shown, SIDE, SIDE))  # type: ignore[call-overload]
            if area := int(api.area(rle)):
                found.append((-area, class_id, rle))
                one = {"id": len(annotations) + 1, "image_id": number, "category_id": class_id, "iscrowd": 0}
                annotations.append({**one, "area": area, "bbox": [float(v) for v in api.toBbox(rle)], "segmentation": shown})
        truth = np.zeros((SIDE, SIDE), np.uint8)
        for _, class_id, rle in sorted(found, key=lambda one: one[0]):
            truth[api.decode(rle).astype(bool)] = class_id
        truths[name] = truth
    write_json(root / file, {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories})
    return truths


def plain_categories() -> list[dict[str, Any]]:
    return [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(CLASSES, 1)]


def halves(maps: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    return {"train": maps[::2], "val": maps[1::2]}


def coco_itself(root: Path, maps: list[np.ndarray], kind: str = "instances", polygons: bool = True) -> tuple[Truths, list[Sample]]:
    file, own = f"annotations/{kind}_val2017.json", plain_categories()
    truths = coco(root, maps, part="", file=file, pictures="val2017", categories=own, polygons=polygons)
    return truths, Dataset.from_coco(root).samples


def datumaro(root: Path, maps: list[np.ndarray]) -> tuple[Truths, list[Sample]]:
    truths: Truths = {}
    for part, own in halves(maps).items():
        file, pictures = f"annotations/instances_{part}.json", f"images/{part}"
        truths |= coco(root, own, part=part, file=file, pictures=pictures, categories=plain_categories(), polygons=False)
    return truths, Dataset.from_coco(root).samples


def roboflow(root: Path, maps: list[np.ndarray]) -> tuple[Truths, list[Sample]]:
    categories = [{"id": 0, "name": "cat", "supercategory": "none"}, *({**one, "supercategory": "cat"} for one in plain_categories())]
    truths: Truths = {}
    for part, own in zip(("train", "valid", "test"), (maps[::3], maps[1::3], maps[2::3]), strict=True):
        file = f"{part}/_annotations.coco.json"
        truths |= coco(root, own, part=part, file=file, pictures=part, categories=categories, polygons=True)
    return truths, Dataset.from_coco(root).samples


def panoptic(root: Path, maps: list[np.ndarray]) -> tuple[Truths, list[Sample]]:
    images, annotations, truths = [], [], {}
    folder = root / "annotations/panoptic_val2017"
    folder.mkdir(parents=True)
    for number, labels in enumerate(maps, 1):
        name = f"{number:012d}"
        picture(root / f"val2017/{name}.jpg", number)
        ids = np.array([3226956, 6979964, 258, 71000], np.int64)[without_ignored(labels)]
        ids[labels == 255] = 0
        Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(folder / f"{name}.png")
        images.append({"id": number, "file_name": f"{name}.jpg", "width": SIDE, "height": SIDE})
        segments = [{"id": int(one), "category_id": int(labels[ids == one][0]) + 1, "iscrowd": 0} for one in np.unique(ids) if one]
        annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
        truths[name] = np.where(labels == 255, 255, labels + 1).astype(np.uint8)
    categories = [{"id": i, "name": name, "isthing": 0} for i, name in enumerate(("floor", *CLASSES), 1)]
    write_json(root / "annotations/panoptic_val2017.json", {"images": images, "annotations": annotations, "categories": categories})
    return truths, Dataset.from_coco(root).samples


def yolo(root: Path, maps: list[np.ndarray]) -> tuple[Truths, list[Sample]]:
    """Numbers with gaps, a list of pictures, a YAML of another name, and every third picture without a label file."""
    truths: Truths = {}
    for number, labels in enumerate(maps):
        labels = without_ignored(labels) if number % 3 else np.zeros_like(labels)
        picture(root / f"images/train/{number:04d}.jpg", number)
        lines = as_yolo(labels, find_objects(labels)).splitlines()
        if number % 3:
            (root / "labels/train").mkdir(parents=True, exist_ok=True)
            shown = "".join(f"{3 * int(line.split()[0])} {line.partition(' ')[2]}\n" for line in lines)
            (root / f"labels/train/{number:04d}.txt").write_text(shown)
        truths[f"{number:04d}"] = labels
    (root / "train.txt").write_text("".join(f"./images/train/{number:04d}.jpg\n" for number in range(len(maps))))
    (root / "my-set.yaml").write_text("train: train.txt\nnames: {0: cat, 3: dog, 6: bus}\n")
    return truths, Dataset.from_yolo(root).samples


def voc(root: Path, maps: list[np.ndarray], kind: str) -> tuple[Truths, list[Sample]]:
    """kind: "P" palette PNG below VOCdevkit, with listed pictures without masks; "VOC" VOC's colours; "CVAT" colours of a labelmap.txt."""
    base = root / "VOCdevkit/VOC2012" if kind == "P" else root
    palette = np.array(voc_palette(), np.uint8).reshape(-1, 3)
    if kind == "CVAT":
        palette = palette.copy()
        palette[:4] = COLOURS
        lines = [f"{name}:{','.join(map(str, colour))}::\n" for name, colour in zip(("background", *CLASSES), COLOURS, strict=True)]
        (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(lines))
    truths: Truths = {}
    for folder in ("SegmentationClass", "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True)
    for number, labels in enumerate(maps):
        name = f"2007_{number:06d}"
        picture(base / f"JPEGImages/{name}.jpg", number)
        mask = Image.fromarray(labels if kind == "P" else palette[labels])
        if kind == "P":
            mask.putpalette(voc_palette())
        mask.save(base / f"SegmentationClass/{name}.png")
        truths[name] = labels
    picture(base / "JPEGImages/without.jpg", 0)
    names = "".join(f"{name}\n" for name in (*truths, "without"))
    (base / f"ImageSets/Segmentation/{'default' if kind == 'CVAT' else 'trainval'}.txt").write_text(names)
    return truths, Dataset.from_voc(root).samples


def camvid(root: Path, maps: list[np.ndarray]) -> tuple[Truths, list[Sample]]:
    truths: Truths = {}
    (root / "testannot").mkdir()
    for number, labels in enumerate(maps):
        name = f"Seq05VD_f{number:05d}"
        picture(root / f"test/{name}.png", number)
        Image.fromarray(np.where(labels == 255, 11, labels).astype(np.uint8)).save(root / f"testannot/{name}.png")
        truths[name] = labels
    samples = open_evaluation(root).samples
    return truths, [Sample(one.image or b"", one.truth, name=one.name) for one in samples]


LAYOUTS: list[tuple[str, str, Callable[[Path, list[np.ndarray]], tuple[Truths, list[Sample]]]]] = [
    ("COCO's own, `instances_val2017.json`, polygons", "pycocotools", coco_itself),
    ("the same, RLE", "pycocotools", lambda root, maps: coco_itself(root, maps, polygons=False)),
    ("COCO's own, `person_keypoints_val2017.json`", "pycocotools", lambda root, maps: coco_itself(root, maps, "person_keypoints")),
    ("COCO's own, `panoptic_val2017.json` and PNG files", "PIL", panoptic),
    ("Datumaro's, `images/<part>/`, RLE", "pycocotools", datumaro),
    ("Roboflow's root, category 0 of the same name as 1", "pycocotools", roboflow),
    ("YOLO, a list of pictures, numbers with gaps, a third without label files", "the maps outlined", yolo),
    ("`VOCdevkit`, palette PNG, a listed picture without mask", "PIL", lambda root, maps: voc(root, maps, "P")),
    ("VOC, masks in its colours", "PIL", lambda root, maps: voc(root, maps, "VOC")),
    ("CVAT's segmentation mask, `labelmap.txt`", "PIL", lambda root, maps: voc(root, maps, "CVAT")),
    ("CamVid as truth, void ignored", "PIL", camvid),
]


if __name__ == "__main__":
    main()
