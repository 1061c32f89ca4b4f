"""The folders of tests/dataset/formats/layouts.toml, which says how they are written."""

import json
from functools import partial
from pathlib import Path

import numpy as np
from layouts import save, save_image, save_map

from seediff.dataset.dataset import Dataset
from seediff.files.reading import read_toml

CASES = {case["about"]: case for case in read_toml(Path(__file__).parents[1] / "dataset/formats/layouts.toml")["case"]}
SHAPE = (8, 8)
WITHOUT_PIXELS, ONE_SHAPE = "shapes without a pixel, pictures without a shape", "a shape on the only picture"
FOUR_PARTS = "parts of four names"
CVAT = """<annotations><version>1.1</version><meta><job><labels>
<label><name>cat</name></label>
</labels></job></meta>
<image id="0" name="a.png" width="8" height="8">{}</image></annotations>"""


def quarter(value):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:4, :4] = value
    return labels


def coco(names, changes, parent):
    """A document of COCO: `names` of pictures, and `changes` of what is annotated in each."""
    images = [{"id": i, "file_name": name, "width": 8, "height": 8} for i, name in enumerate(names)]
    of_all = {"category_id": 1, "iscrowd": 0, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 2, 0, 4, 0, 4, 4, 0, 4]]}
    annotations = [{"id": i, "image_id": i, **of_all, **changes} for i in range(len(names))]
    categories = [{"id": 1, "name": "cat", "supercategory": parent}]
    if parent:
        categories.insert(0, {"id": 0, "name": parent, "supercategory": "none"})
    return {"images": images, "annotations": annotations, "categories": categories}


def write(path, given):
    kind, _, rest = given.partition(" ")
    if kind == "@image":
        save_image(path, SHAPE)
    elif kind == "@map":
        value, *how = rest.split()
        labels = quarter(int(value))
        if how == ["1"]:  # around it is another value than 0
            labels[4:] = labels[:, 4:] = 1
        if how == ["rgb"]:
            labels = np.dstack([80 * labels, 0 * labels, 0 * labels])
        save_map(path, labels, palette=not how)
    elif kind == "@gbk":
        save(path, rest.encode("gbk"))
    elif kind == "@coco":
        names, brace, more = rest.partition("{")
        changes, parent = json.JSONDecoder().raw_decode(brace + more) if brace else ({}, 0)
        save(path, coco(names.split(), changes, (brace + more)[parent:].strip()))
    elif kind == "@cvat":
        save(path, CVAT.format(rest))
    elif kind == "@yolo":
        save(path, f"{rest} 0.01 0.01 0.25 0.01 0.49 0.01 0.49 0.49 0.01 0.49\n")
    else:
        save(path, given)


def files_of(case):
    before = files_of(CASES[case["base"]]) if "base" in case else {}
    return {path: given for path, given in {**before, **case.get("files", {})}.items() if given}


def formats_of(kind):
    """The formats with a case of this kind."""
    return sorted(about.partition(":")[0] for about in CASES if about.endswith(f": {kind}"))


def filled(value, folder):
    """An option's value, with the folder for DIR."""
    return str(folder) + value[3:] if isinstance(value, str) and value.startswith("DIR/") else value


def write_case(about, folder):
    """Writes a case, and returns what reads it, and its source and options."""
    case = CASES[about]
    for path, given in files_of(case).items():
        write(folder / path, given)
    options = {name: filled(value, folder) for name, value in case.get("options", {}).items()}
    read = partial(Dataset.open, format=case["format"]) if "format" in case else Dataset.open
    return read, folder / case.get("source", ""), options
