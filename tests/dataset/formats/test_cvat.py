import json
from xml.etree import ElementTree

import numpy as np
from blocks import some
from formats import export, imported
from items import item
from refusals import user_error

from seediff.dataset.shapes.objects import find_objects

CLASSES = ("cat", "dog <b>", 'a "cow" & co')


def test_what_the_file_says(tmp_path):
    """By ElementTree, as CVAT's documentation has it."""
    export("cvat", CLASSES, [one.replace(instances=find_objects(one.label_map)) for one in some()], tmp_path / "set")
    root = ElementTree.parse(tmp_path / "set/annotations.xml").getroot()
    named = [label.findtext("name") for label in root.find("meta/task/labels")]
    listed = [label["name"] for label in json.loads((tmp_path / "set/labels.json").read_text())]
    assert named == listed == [*CLASSES, "ignore"]
    for number, (image, truth) in enumerate(zip(root.findall("image"), some(), strict=True)):
        labels, size = truth.label_map, {"width": "30", "height": "20"}
        assert image.attrib == {"id": str(number), "name": f"{truth.name}.{truth.suffix}", **size}
        assert len(image.findall("mask")) == len(find_objects(labels).class_ids) + bool((labels == 255).any())
        for mask in image.findall("mask"):
            runs = [int(count) for count in mask.get("rle").split(", ")]
            assert sum(runs) == int(mask.get("width")) * int(mask.get("height"))


def test_masks_have_their_confidence(tmp_path):
    labels, sure = np.array([[1, 2], [0, 255]], np.uint8), {"cat": 0.25, "dog": 1.0}
    rows = [{"confidence": sure}, {"review": {"verdict": "accepted", "corrected": True}}]
    items = [item(f"{i}", labels, row, (2, 2)) for i, row in enumerate(rows)]
    export("cvat", ("cat", "dog"), items, tmp_path / "set")
    root = ElementTree.parse(tmp_path / "set/annotations.xml").getroot()
    masks = [(one.get("label"), one.findtext("attribute[@name='confidence']")) for one in root.iter("mask")]
    assert masks == [("cat", "0.25"), ("dog", "1.0"), ("ignore", None), ("cat", None), ("dog", None), ("ignore", None)]
    declared = root.find("meta/task/labels/label/attributes/attribute")
    (listed,) = json.loads((tmp_path / "set/labels.json").read_text())[0]["attributes"]
    listed["values"] = "\n".join(listed["values"])
    assert {one.tag: one.text for one in declared} == {key: str(value) for key, value in listed.items()}
    assert all(np.array_equal(one.label_map, labels) for one in imported("cvat", tmp_path / "set")[1])


XML = """<annotations><version>1.1</version><meta><job><labels>
<label><name>Background</name></label><label><name>cat</name></label><label><name>dog</name></label><label><name>void</name></label>
</labels></job></meta>
<image id="0" name="a.png" width="6" height="4">{}</image></annotations>"""


def one_image(tmp_path, shapes):
    export("cvat", ("cat",), [item("a")], tmp_path / "set")
    (tmp_path / "set/annotations.xml").write_text(XML.format(shapes))
    return tmp_path / "set"


def mask(label="cat", rle="0,4", box=(1, 1, 2, 2), **more):
    shown = "".join(f' {name}="{value}"' for name, value in more.items())
    return '<mask label="{}" rle="{}" left="{}" top="{}" width="{}" height="{}"{}/>'.format(label, rle, *box, shown)


def test_masks_are_painted_by_z_order_and_then_in_turn(tmp_path):
    shapes = (
        mask("dog", "0,24", (0, 0, 6, 4), z_order=1)
        + mask("cat", z_order=0)
        + mask("Background", "1, 1, 2", (3, 0, 2, 2), z_order=2)
    )
    notes = []
    classes, (read,) = imported(
        "cvat", one_image(tmp_path, shapes + mask("void", "0,1", (5, 3, 1, 1), z_order=3)), note=notes.append
    )
    labels = np.full((4, 6), 2)
    labels[0, 4], labels[3, 5] = 0, 255
    assert classes == ("cat", "dog")
    assert np.array_equal(read.label_map, labels)
    assert notes == []


def test_a_folder_of_another_export_is_refused_with_what_it_needs(tmp_path):
    with user_error("has no annotations.xml"):
        imported("cvat", tmp_path)
