"""Rotated boxes and ellipses, in every format that can say them, against the middle of each pixel."""

import numpy as np
import pytest
from formats import imported
from layouts import save, save_image
from refusals import user_error

SHAPE = 48, 80
"""(height, width) of the picture."""


ROWS, COLUMNS = np.indices(SHAPE) + 0.5


def turned(point, degrees):
    return point * np.exp(1j * np.deg2rad(degrees))


def seen_from(x, y, degrees):
    """The middle of each pixel as (right, down) of a shape's centre, in its own turned axes."""
    own = turned(COLUMNS - x + 1j * (ROWS - y), -degrees)
    return own.real, own.imag


def cvat(folder, kind, x, y, across, down, degrees):
    """x, y: the centre. across, down: half the sides, or radii."""
    place = f'cx="{x}" cy="{y}" rx="{across}" ry="{down}"'
    if kind == "box":
        place = f'xtl="{x - across}" ytl="{y - down}" xbr="{x + across}" ybr="{y + down}"'
    shape = f'<{kind} label="dog" {place} rotation="{degrees}" z_order="0"></{kind}>'
    labels = "<meta><task><labels><label><name>dog</name></label></labels></task></meta>"
    image = f'<image id="0" name="a.png" width="{SHAPE[1]}" height="{SHAPE[0]}">{shape}</image>'
    save(folder / "annotations.xml", f"<annotations><version>1.1</version>{labels}{image}</annotations>")


def labelstudio(folder, kind, x, y, across, down, degrees):
    corner = complex(x, y) + turned(complex(-across, -down), degrees)  # about which it is turned
    height, width = (side / 100 for side in SHAPE)
    value = {"x": x / width, "y": y / height, "radiusX": across / width, "radiusY": down / height}
    if kind == "box":
        value = {
            "x": corner.real / width,
            "y": corner.imag / height,
            "width": 2 * across / width,
            "height": 2 * down / height,
        }
    name = {"box": "rectangle", "ellipse": "ellipse"}[kind]
    value |= {"rotation": degrees}
    sides = {"original_width": SHAPE[1], "original_height": SHAPE[0], "id": "1"}
    results = [{"type": f"{name}labels", "value": value | {f"{name}labels": ["dog"]}, **sides}]
    save(folder / "tasks.json", [{"data": {"image": "a.png"}, "annotations": [{"result": results}]}])
    tags = "".join(f'<{tag}><Label value="dog"/></{tag}>' for tag in ("BrushLabels", "EllipseLabels"))
    save(folder / "label_config.xml", f"<View>{tags}</View>")


@pytest.mark.parametrize("degrees", [0, 30, 90, 200.5])
@pytest.mark.parametrize("write", [cvat, labelstudio])
def test_boxes(tmp_path, write, degrees):
    x, y, across, down = 40.5, 24.5, 15, 4
    save_image(tmp_path / "a.png", SHAPE)
    write(tmp_path, "box", x, y, across, down, degrees)
    right, below = seen_from(x, y, degrees)
    with user_error("of its 1 shapes, 1 are boxes"):
        imported(write.__name__, tmp_path)
    classes, (read,) = imported(write.__name__, tmp_path, boxes="masks")
    found = read.label_map == 1
    assert classes == ("dog",)
    less, more = ((abs(right) < across + near) & (abs(below) < down + near) for near in (-1, 1))
    assert (found >= less).all()
    assert (found <= more).all()


@pytest.mark.parametrize("degrees", [0, 30, 90, 200.5])
@pytest.mark.parametrize("place", [(40.5, 24.25, 15.5, 6), (3, 44, 9, 20), (200, 9, 5, 5)], ids=str)
@pytest.mark.parametrize("write", [cvat, labelstudio])
def test_ellipses(tmp_path, write, place, degrees):
    x, y, across, down = place
    save_image(tmp_path / "a.png", SHAPE)
    write(tmp_path, "ellipse", *place, degrees)
    right, below = seen_from(x, y, degrees)
    # pycocotools fills polygons by a rule of its own.
    less, more = ((right / (across + near)) ** 2 + (below / (down + near)) ** 2 < 1 for near in (-0.6, 0.6))
    notes = []
    classes, (read,) = imported(write.__name__, tmp_path, note=notes.append)
    assert (classes, notes) == (("dog",), [])
    assert (less <= (read.label_map == 1)).all()
    assert ((read.label_map == 1) <= more).all()
    assert set(np.unique(read.label_map)) <= {0, 1}
