"""Pictures with more shapes than a file of 16 bits can number."""

from __future__ import annotations

import json

import numpy as np
import pytest
from formats import imported
from PIL import Image

from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.label_files import Shapes
from seediff.dataset.sample import Sample
from seediff.errors import UserError


@pytest.mark.parametrize("kind", ["instances", "panoptic"])
def test_more_shapes_than_16_bits_number_are_a_whole_label_map_without_objects(tmp_path, kind):
    side, count = 300, 66_000
    ids = np.random.default_rng(0).integers(1, 4, count)  # so that a number that wraps around has another class
    Image.new("RGB", (side, side)).save(tmp_path / "a.png")
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": side, "width": side}],
        "categories": [{"id": i, "name": name} for i, name in enumerate("abc", 1)],
    }
    if kind == "instances":
        each = [{"size": [side, side], "counts": [place, 1, side * side - place - 1]} for place in range(count)]
        document["annotations"] = [
            {"id": i, "image_id": 1, "category_id": int(class_id), "segmentation": shape}
            for i, (class_id, shape) in enumerate(zip(ids, each, strict=True), 1)
        ]
    else:
        numbers = np.append(np.arange(1, count + 1), np.zeros(side * side - count, int)).reshape(side, side).T
        (tmp_path / kind).mkdir()
        Image.fromarray(np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], -1).astype(np.uint8)).save(
            tmp_path / kind / "a.png"
        )
        info = [{"id": i, "category_id": int(class_id)} for i, class_id in enumerate(ids, 1)]
        document["annotations"] = [{"image_id": 1, "file_name": "a.png", "segments_info": info}]
    (tmp_path / f"{kind}.json").write_text(json.dumps(document))
    notes = []
    (sample,) = imported("coco", tmp_path / f"{kind}.json", note=notes.append)[1]
    rest = 0 if kind == "instances" else 255
    assert np.array_equal(sample.label_map.T.ravel(), np.append(ids, np.full(side * side - count, rest)))
    assert sample.instances is None
    assert notes == ["1 picture has more than 65535 shapes, which cannot be numbered: label maps without objects"]


def test_more_objects_than_a_file_of_16_bits_numbers_are_refused(tmp_path):
    numbers = np.arange(1, 300**2 + 1).reshape(300, 300)
    given = Shapes()
    for number in numbers.ravel().tolist():
        given.number(number % 3 + 1)
    instances = given.painted(numbers).seen()
    assert np.array_equal(instances.label_map(), numbers % 3 + 1)
    sample = Sample(np.zeros((300, 300, 3), np.uint8), instances.label_map(), instances, name="a")
    with pytest.raises(UserError, match="sample 'a': has 90000 objects; at most 65535 of a picture can be numbered"):
        Dataset(("x", "y", "z"), [sample]).save(tmp_path / "out")
