import contextlib
import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from blocks import blocks
from coco_documents import from_coco
from formats import export, imported
from items import item
from pycocotools import mask
from pycocotools.coco import COCO
from scipy import ndimage

from seediff.dataset.formats.coco.writing import Part, categories, of_objects
from seediff.dataset.shapes.objects import find_objects, whole_classes
from seediff.errors import UserError

CLASSES = ("cat", "bus", "dog")


def load(path: Path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def ring():
    """A square of class 1 with a hole, which holds a square of class 2."""
    labels = np.zeros((12, 14), np.uint8)
    labels[1:10, 2:11] = 1
    labels[3:8, 4:9] = 0
    labels[5:7, 5:7] = 2
    labels[11, 13] = 3
    return labels


@pytest.mark.parametrize("shape", [(1, 1), (9, 1), (33, 47), (512, 40)])
@pytest.mark.parametrize("zoom", [1, 4])
def test_annotations_are_those_of_scipy_and_pycocotools(shape, zoom):
    rng = np.random.default_rng(zoom)
    small = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), tuple(-(-side // zoom) for side in shape))
    labels = np.kron(small, np.ones((zoom, zoom), np.uint8))[: shape[0], : shape[1]]

    def expected(masks):
        for class_id, inside in masks:
            rle: Any = mask.encode(np.asfortranarray(inside.astype(np.uint8)))
            shown = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
            area, box = int(mask.area(rle)), [int(side) for side in mask.toBbox(rle)]
            yield {"category_id": class_id, "iscrowd": 0, "area": area, "bbox": box, "segmentation": shown}

    def pieces():
        for class_id in (1, 2, 3):
            numbers, count = cast(Any, ndimage.label((labels == class_id).T, np.ones((3, 3))))
            yield from ((class_id, (numbers == number).T) for number in range(1, count + 1))

    assert of_objects(find_objects(labels), polygons=False) == list(expected(pieces()))
    assert of_objects(whole_classes(labels), polygons=False) == list(
        expected((i, labels == i) for i in np.unique(labels).tolist() if i)
    )


def as_coco(classes, samples, objects=False):
    """COCO's document of (file name, label map)."""
    part = Part()
    for file_name, labels in samples:
        image = {"file_name": file_name, "width": labels.shape[1], "height": labels.shape[0]}
        part.add(image, of_objects(find_objects(labels) if objects else whole_classes(labels), polygons=False))
    return part.document(categories(classes, ignore=not objects))


@pytest.mark.parametrize("seed", range(5))
def test_documents_give_label_maps_back(seed):
    rng = np.random.default_rng(seed)
    maps = [rng.choice([0, 1, 2, 254, 255], size).astype(np.uint8) for size in ((1, 1), (7, 3), (20, 31))]
    classes = tuple(f"c{i}" for i in range(254))
    got, read = from_coco(json.loads(json.dumps(as_coco(classes, [(f"{i}.png", m) for i, m in enumerate(maps)]))))
    assert got == classes
    for (image, labels), expected in zip(read, maps, strict=True):
        assert np.array_equal(labels, expected), image
    # Objects come back too, but for what is ignored.
    for (_, labels), expected in zip(
        from_coco(as_coco(classes, [("a", m) for m in maps], objects=True))[1], maps, strict=True
    ):
        assert np.array_equal(labels, np.where(expected == 255, 0, expected))


def test_pycocotools_reads_what_is_written(tmp_path):
    maps = [ring(), blocks(3, shape=(25, 40))]
    given = [item(f"a/{i}", m, shape=m.shape) for i, m in enumerate(maps)]
    done = export("coco", CLASSES, given, tmp_path / "coco", min_area=2)
    assert done.notes == ("1 pieces below 2 pixels are no objects in instances; semantic has them",)
    semantic, instances = (
        load(tmp_path / "coco/annotations/semantic.json"),
        load(tmp_path / "coco/annotations/instances.json"),
    )
    assert {c["id"]: c["name"] for c in semantic.dataset["categories"]} == {1: "cat", 2: "bus", 3: "dog", 255: "ignore"}
    assert {c["id"]: c["name"] for c in instances.dataset["categories"]} == {1: "cat", 2: "bus", 3: "dog"}
    for image_id, labels in enumerate(maps, 1):
        again = np.zeros_like(labels)
        for one in semantic.loadAnns(semantic.getAnnIds(imgIds=[image_id])):
            inside = semantic.annToMask(one).astype(bool)
            assert not again[inside].any()
            again[inside] = one["category_id"]
            rows, columns = np.nonzero(inside)
            assert one["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (one["area"], one["iscrowd"]) == (inside.sum(), 0)
        assert np.array_equal(again, labels)
    first = instances.loadAnns(instances.getAnnIds(imgIds=[1]))
    assert [(one["category_id"], one["area"], one["bbox"]) for one in first] == [
        (1, 56, [2, 1, 9, 9]),
        (2, 4, [5, 5, 2, 2]),
    ]
    assert np.array_equal(instances.annToMask(first[0]), ring() == 1)  # the hole stays


def test_polygons_state_their_loss(tmp_path):
    given = [item("ring", ring(), shape=(12, 14))]
    done = export("coco", CLASSES, given, tmp_path / "coco", polygons=True)
    assert done.notes == (
        "polygons, filled by pycocotools, against the masks: IoU 1.0000 mean, 1.0000 lowest; RLE loses nothing",
    )
    coco = load(tmp_path / "coco/annotations/instances.json")
    shapes = {one["category_id"]: one for one in coco.dataset["annotations"]}
    assert isinstance(shapes[1]["segmentation"], list)
    assert shapes[2]["segmentation"] == [[5, 5, 7, 5, 7, 7, 5, 7]]
    assert np.array_equal(coco.annToMask(shapes[1]), ring() == 1)
    assert np.array_equal(
        imported("coco", tmp_path / "coco", annotations=tmp_path / "coco/annotations/instances.json")[1][0].label_map,
        ring(),
    )


def test_classes_of_a_row_come_back(tmp_path):
    """Also those without a pixel, which flags are about, in their order."""
    row = {
        "classes": ["dog", "cat"],
        "class_ids": [3, 1],
        "area": {"dog": 0.0, "cat": 1.0},
        "flags": ["degenerate:dog"],
    }
    export("coco", CLASSES, [item("a", np.ones((4, 6), np.uint8), row)], tmp_path / "coco")
    classes, (one,) = imported("coco", tmp_path / "coco")
    assert one.row(one.label_map, classes) == row


@pytest.mark.parametrize(
    ("share", "splits"),
    [(None, ["val", "dev"]), (0.0, ["train", "dev"]), (0.2, ["train", "dev"]), (1.0, ["val", "val"])],
)
def test_a_share_replaces_the_splits_of_rows(tmp_path, share, splits):
    given = [item("a", None, {"split": "val"}), item("b", None, {"split": "dev"})]
    export("coco", CLASSES, given[:1] if share is None else given, tmp_path / "coco", split=share)
    found = [one.metadata["split"] for one in imported("coco", tmp_path / "coco")[1]]
    assert found == splits[: len(found)]


def foreign():
    """A document as others write them: ids with gaps, uncompressed RLE, a crowd, objects that overlap, a background."""
    rle = {"size": [2, 3], "counts": [0, 2, 4]}  # the first column
    annotations = [
        {"id": 7, "image_id": 5, "category_id": 90, "iscrowd": 0, "segmentation": rle},
        {
            "id": 8,
            "image_id": 5,
            "category_id": 18,
            "iscrowd": 0,
            "segmentation": {"size": [2, 3], "counts": [0, 5, 1]},
        },
        {"id": 9, "image_id": 5, "category_id": 18, "iscrowd": 1, "segmentation": {"size": [2, 3], "counts": [0, 6]}},
    ]
    categories = [{"id": 90, "name": "dog"}, {"id": 18, "name": "cat"}, {"id": 0, "name": "background"}]
    images = [{"id": 5, "file_name": "x.jpg", "width": 3, "height": 2}]
    return {"images": images, "annotations": annotations, "categories": categories}


def test_documents_of_others():
    classes, ((_, labels),) = from_coco(foreign())
    assert classes == ("cat", "dog")
    assert labels.tolist() == [[2, 1, 1], [2, 1, 255]]


def rle(counts, size=(2, 3)):
    return {"segmentation": {"size": list(size), "counts": counts}}


def corner(x):
    return {"segmentation": [[0, 0, 2, 0, 2, 2, x, 1]]}


@pytest.mark.parametrize(
    ("part", "change", "place"),
    [
        ("annotations", {"image_id": 6}, "annotation 7 is of image 6"),
        ("annotations", {"category_id": 6}, "annotation 7 is of category 6"),
        ("annotations", {"segmentation": None}, r"annotations\[0\]\.segmentation"),
        ("annotations", rle([8], (2, 4)), "annotation 7: its mask"),
        *(
            ("annotations", rle(counts), "annotation 7: 'counts'")
            for counts in ([7], [-1, 7], [7, -1], "é", "", "00 ", "0\x7f")
        ),
        # Sums and digits that wrap around 64 bits.
        *(
            ("annotations", rle(counts), "annotation 7: 'counts'")
            for counts in ([2**62] * 4 + [6], [2**64, 6], "o" * 30, "o" * 30 + "0")
        ),
        *(("annotations", rle(counts), r"segmentation\.counts") for counts in ([3.0, 3.0], [True, 5], {}, None)),
        (
            "annotations",
            {"segmentation": {"size": [2, 3]}},
            r"annotations\[0\]\.segmentation`: Object missing required field `counts`",
        ),
        ("annotations", {"segmentation": [[1, 2, 3]]}, "a polygon"),
        *(
            ("annotations", corner(x), "annotation 7: a corner")
            for x in (1e9, -1e9, 2**62, float("nan"), float("inf"), 17)
        ),
        *(("annotations", corner(x), r"annotations\[0\]\.segmentation") for x in (2**2000, "1", None, True)),
        ("images", {"width": -1}, r"images\[0\]\.width"),
        ("images", {"width": True}, r"images\[0\]\.width"),
        ("images", {"width": 20_000, "height": 20_000}, "image 5: 400 megapixels"),
        ("images", {"metadata": 5}, r"images\[0\]\.metadata"),
        ("images", {"id": 2}, "annotation 7 is of image 5"),
        ("images", [{}, {}], r"images\[1\] has the id 5"),
        ("categories", {"name": "cat"}, "categories: class 'cat'"),
        ("categories", {"id": 18}, r"categories\[1\] has the id 18"),
    ],
)
def test_broken_documents_are_named(part, change, place):
    document = foreign()
    first, *rest = document[part]
    document[part] = [{**first, **one} for one in ([change] if isinstance(change, dict) else change)] + rest
    with pytest.raises(UserError, match=place):
        from_coco(document)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (None, "there is no such folder or JSON file"),
        ("{", "is not JSON"),
        ("[]", "Expected `object`"),
        ("{}", "categories"),
        (json.dumps(foreign()), 'image 5: there is no picture "x'),
        *((json.dumps(foreign()).replace('"x.jpg"', f'"{name}"'), "'file_name'") for name in ("../../x.jpg", "", "/")),
    ],
)
def test_files_that_cannot_be_read(tmp_path, text, place):
    with pytest.raises(UserError, match=r"has no semantic\*\.json or instances\*\.json"):
        imported("coco", tmp_path)
    if text is not None:
        (tmp_path / "one.json").write_text(text)
    with pytest.raises(UserError, match=place):
        imported("coco", tmp_path / "one.json")


def test_an_annotation_that_is_repeated_is_refused_before_it_is_painted(monkeypatch):
    painted = []
    monkeypatch.setattr("seediff.dataset.formats.coco.reading.paint_runs", lambda *given: painted.append(given))
    document = as_coco(("cat",), [("a.png", np.kron([[0, 1], [0, 0]], np.ones((10, 10))).astype(np.uint8))])
    document["annotations"] *= 1000
    with pytest.raises(UserError, match=r"image 1: its masks cover the picture 100\.2 times over; at most 100"):
        from_coco(document)
    assert not painted
