"""Reads an exported dataset with the library of a tool, in an environment that has the tool but not SeeDiff: see
../readers.py.

    python benchmarks/readers/by_tools.py TOOL KIND FOLDER CLASSES OUT.npz      # KIND: the tool's name for the format
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

Read = Iterator[tuple[str, np.ndarray]]
"""(sample's name, label map) of each sample."""


def datumaro(kind: str, folder: str, classes: list[str]) -> Read:
    from datumaro.components.annotation import AnnotationType  # type: ignore
    from datumaro.components.dataset import Dataset  # type: ignore

    ids = {"background": 0, "ignore": 255, "ignored": 255} | {name: id for id, name in enumerate(classes, 1)}
    dataset = Dataset.import_from(folder, kind)
    categories = dataset.categories()[AnnotationType.label]
    for item in dataset:
        labels = np.zeros(item.media_as(type(item.media)).size, np.uint8)
        for one in item.annotations:
            if one.type == AnnotationType.mask:
                labels[one.image.astype(bool)] = ids[categories[one.label].name]
        yield str(item.id), labels


def fiftyone(kind: str, folder: str, classes: list[str]) -> Read:
    """With its importer, without its database."""
    from fiftyone.utils.data.importers import ImageSegmentationDirectoryImporter  # type: ignore

    for images in Path(folder, "images").iterdir():
        masks = str(Path(folder, "masks", images.name))
        with ImageSegmentationDirectoryImporter(data_path=str(images), labels_path=masks, load_masks=True) as importer:
            for path, _, segmentation in importer:
                yield stem(path, images), np.asarray(segmentation.mask)


def labelstudio(kind: str, folder: str, classes: list[str]) -> Read:
    """With its converter's decoder."""
    from label_studio_sdk._extensions.label_studio_tools.core.label_config import parse_config  # type: ignore
    from label_studio_sdk.converter.brush import decode_rle  # type: ignore

    ids = {"ignore": 255} | {name: id for id, name in enumerate(classes, 1)}
    config = parse_config(Path(folder, "label_config.xml").read_text(encoding="utf-8"))
    assert set(config["label"]["labels"]) == set(ids)
    for task in json.loads(Path(folder, "tasks.json").read_text(encoding="utf-8")):
        results = task["predictions"][0]["result"]
        shape = results[0]["original_height"], results[0]["original_width"]
        labels = np.zeros(shape, np.uint8)
        for one in results:
            assert (one["from_name"], one["type"]) == ("label", "brushlabels")
            alpha = decode_rle(one["value"]["rle"]).reshape(*shape, 4)[..., 3]
            labels[alpha > 128] = ids[one["value"]["brushlabels"][0]]
        yield task["data"]["seediff"]["name"], labels


def labelme(kind: str, folder: str, classes: list[str]) -> Read:
    """With its file's class and its function for label maps."""
    from labelme import LabelFile, utils  # type: ignore

    ids = {"__ignore__": 255} | {name: id for id, name in enumerate(classes, 1)}
    assert Path(folder, "labels.txt").read_text(encoding="utf-8").split("\n")[2:-1] == classes
    for path in Path(folder).glob("*.json"):
        file = LabelFile(str(path))
        assert {shape["shape_type"] for shape in file.shapes} == {kind}
        shape = utils.img_data_to_arr(file.imageData).shape
        yield path.stem, utils.shapes_to_label(shape, file.shapes, ids)[0].astype(np.uint8)


def ultralytics(kind: str, folder: str, classes: list[str]) -> Read:
    """With its data loader."""
    from ultralytics.cfg import get_cfg  # type: ignore
    from ultralytics.data.build import build_yolo_dataset  # type: ignore
    from ultralytics.data.utils import check_det_dataset  # type: ignore

    data = check_det_dataset(str(Path(folder, "data.yaml")), autodownload=False)
    assert list(data["names"].values()) == ["background", *classes]
    config = get_cfg(overrides={"task": kind, "cache": False})
    for split in ("train", "val"):
        dataset = build_yolo_dataset(config, data[split], 4, data, mode="val")
        assert type(dataset).__name__ == "SemanticDataset"
        for number, label in enumerate(dataset.labels):
            yield stem(label["im_file"], Path(data[split])), dataset.load_mask(number)


def stem(path: str, folder: Path) -> str:
    return Path(path).resolve().relative_to(folder.resolve()).with_suffix("").as_posix()


if __name__ == "__main__":
    tool, kind, folder, classes, out = sys.argv[1:]
    np.savez(out, allow_pickle=False, **dict(globals()[tool](kind, folder, json.loads(classes))))
