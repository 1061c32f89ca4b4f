import base64
import io
import json
import math

import numpy as np
import pytest
from blocks import blocks
from formats import export, imported
from items import item
from PIL import Image, ImageDraw
from refusals import user_error

SIZE = (60, 40)  # width, height


def shape(label, points, kind="polygon", mask=None):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "mask": mask}


def encoded(array, mode="L"):
    buffer = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).convert(mode).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def write(path, shapes, image_path, data=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "5.7.0", "flags": {}, "shapes": shapes, "imagePath": image_path, "imageData": data}
    path.write_text(json.dumps({**content, "imageHeight": SIZE[1], "imageWidth": SIZE[0]}, indent=2))


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (90, 120, 60)).save(path)


MASK = np.random.default_rng(0).random((9, 12)) > 0.4
SHAPES = [
    shape("dog", [[5.2, 4.7], [30.9, 8.1], [22.5, 30.25]]),
    shape("cat", [[40.0, 30.5], [20.5, 10.0]], "rectangle"),
    shape("dog", [[50, 20], [55.5, 22]], "circle"),
    shape("cat", [[2, 28], [13, 36]], "mask", encoded(MASK)),
    shape("_background_", [[24, 14], [28, 14], [28, 20], [24, 20]], None),
    shape("__ignore__", [[0, 0], [3, 0], [3, 3]]),
    shape("lead", [[0, 0], [9, 9]], "line"),
    shape("nose", [[1, 1]], "point"),
]


def drawn():
    """As labelme's shapes_to_label, a shape at a time."""
    labels = np.zeros(SIZE[::-1], np.uint8)
    ids = {"dog": 2, "cat": 1, "_background_": 0, "__ignore__": 255}
    for one in SHAPES[:6]:
        layer = Image.new("L", SIZE)
        points, draw = [tuple(point) for point in one["points"]], ImageDraw.Draw(layer)
        if one["shape_type"] == "rectangle":
            (x0, y0), (x1, y1) = points
            draw.rectangle([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], outline=1, fill=1)
        elif one["shape_type"] == "circle":
            (x, y), d = points[0], math.dist(*points)
            draw.ellipse([x - d, y - d, x + d, y + d], outline=1, fill=1)
        elif one["shape_type"] == "mask":
            layer = np.zeros(SIZE[::-1], bool)
            layer[28:37, 2:14] = MASK
        else:
            draw.polygon(points, outline=1, fill=1)
        labels[np.asarray(layer, bool)] = ids[one["label"]]
    return labels


def test_shapes_are_those_of_labelme(tmp_path):
    write(tmp_path / "a.json", SHAPES, "a.png")
    image(tmp_path / "a.png")
    notes = []
    classes, (one,) = imported("labelme", tmp_path, note=notes.append, boxes="masks")
    assert (classes, one.name) == (("cat", "dog"), "a")
    assert np.array_equal(one.label_map, drawn())
    assert notes == ["2 shapes of a kind that is no mask, such as line lead, point nose: left out (a.png)"]


@pytest.mark.parametrize("label", ["", " ", "cat\nred"])
def test_a_label_that_is_no_name_is_refused_with_its_file(tmp_path, label):
    write(tmp_path / "a.json", [shape("cat", SHAPES[0]["points"]), shape(label, SHAPES[0]["points"])], "a.png")
    image(tmp_path / "a.png")
    with user_error(r"a\.json: shape 2: class name '.*': must be one printable line"):
        imported("labelme", tmp_path)


@pytest.mark.parametrize("polygons", [False, True])
def test_what_is_written(tmp_path, polygons):
    labels = blocks(3, 3, SIZE[::-1])
    labels[::7, ::5], labels[3, 3] = 255, 2
    export("labelme", ("cat", "dog", "cow"), [item("a/b", labels, {}, SIZE[::-1])], tmp_path / "set", polygons=polygons)
    assert (tmp_path / "set/labels.txt").read_text() == "__ignore__\n_background_\ncat\ndog\ncow\n"
    file = json.loads((tmp_path / "set/a_b.json").read_text())
    assert (file["imagePath"], file["imageData"], file["imageWidth"], file["imageHeight"]) == ("a_b.png", None, *SIZE)
    for one in [] if polygons else file["shapes"]:
        (left, top), (right, bottom) = one["points"]
        assert Image.open(io.BytesIO(base64.b64decode(one["mask"]))).size == (right - left + 1, bottom - top + 1)
    assert np.array_equal(imported("labelme", tmp_path / "set")[1][0].label_map, labels)
