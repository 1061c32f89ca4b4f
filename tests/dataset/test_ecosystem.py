import json

import numpy as np
import pytest
from blocks import blocks
from items import item
from PIL import Image

from seediff import Dataset, Sample
from seediff.dataset.encoding import Instances

CLASSES = ("cat", "dog", "cow")
SHAPES = ((20, 30), (30, 20))


def pets():
    """Wide and high by turns, the second without a class."""
    maps = [blocks(i, 3, SHAPES[i % 2]) for i in range(4)]
    maps[0][:3, :4] = 255
    maps[1][:] = 0
    return Dataset(
        CLASSES,
        [item(f"trip/{i}", maps[i], {"prompt": f"é {i}"}, SHAPES[i % 2], ("png", "jpg")[i % 2]) for i in range(4)],
    )


def objects():
    """Two dogs that touch and a cat, of which one pixel is ignored; object 2 has no pixel."""
    numbers = np.zeros((20, 30), np.uint16)
    numbers[2:5, 2:5], numbers[5:9, 2:5], numbers[10:12, 10:20] = 1, 3, 300
    class_ids = (2, 3, 2, *[3] * 296, 1)
    labels = np.array([0, *class_ids], np.uint8)[numbers]
    labels[10, 10] = 255
    return Dataset(CLASSES, [item("a", labels, {}, (20, 30)).replace(instances=Instances(numbers, class_ids))])


def test_supervision_gets_a_detection_of_each_class():
    pytest.importorskip("supervision", reason="supervision is not installed")
    given = pets()
    detected = given.as_supervision()
    assert len(detected) == 4
    for (image, detections), sample in zip(detected, given, strict=True):
        labels = sample.label_map
        assert np.array_equal(np.asarray(image), sample.image)
        shown = [number for number in np.unique(labels).tolist() if 0 < number < 255]
        assert detections.class_id.tolist() == [number - 1 for number in shown]
        assert detections.data["class_name"].tolist() == [CLASSES[number - 1] for number in shown]
        assert detections.mask.shape == (len(shown), *labels.shape)
        assert detections.mask.dtype == bool
        for number, mask, box in zip(shown, detections.mask, detections.xyxy.tolist(), strict=True):
            rows, columns = np.nonzero(labels == number)
            assert np.array_equal(mask, labels == number)
            assert box == [columns.min(), rows.min(), columns.max(), rows.max()]
    assert len(detected[1][1]) == 0


def test_supervision_gets_a_detection_of_each_object():
    pytest.importorskip("supervision", reason="supervision is not installed")
    ((_, detections),) = objects().as_supervision()
    assert detections.data["class_name"].tolist() == ["cat", "dog", "dog"]
    assert detections.area.tolist() == [19, 9, 12]  # without the ignored pixel
    assert detections.xyxy.tolist() == [[10, 10, 19, 11], [2, 2, 4, 4], [2, 5, 4, 8]]


@pytest.mark.parametrize("on_disk", [True, False])
def test_datasets_get_every_column(tmp_path, on_disk):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    given = pets()
    if on_disk:
        given.save(tmp_path / "pets")
        given = Dataset.open(tmp_path / "pets")
    table = given.as_datasets()
    assert isinstance(table, datasets.Dataset)
    assert table.features["class_ids"].feature.names == ["background", *CLASSES]
    for row, sample in zip(table, given, strict=True):
        assert np.array_equal(np.asarray(row["image"].convert("RGB")), sample.image)
        assert np.array_equal(np.asarray(row["label_map"]), sample.label_map)
        assert row["class_ids"] == [number for number in np.unique(sample.label_map).tolist() if 0 < number < 255]
        assert row["name"] == sample.name
        assert json.loads(row["metadata"]) == sample.metadata
    stored = table.cast_column("image", datasets.Image(decode=False))[0]["image"]
    assert (stored["bytes"] is None) == on_disk, "pictures in files stay there"


def test_an_image_that_datasets_would_turn_stays_on_its_label_map(tmp_path):
    pytest.importorskip("datasets", reason="datasets is not installed")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(tmp_path / "turned.jpg", exif=exif)
    sample = Sample(tmp_path / "turned.jpg", np.zeros((20, 30), np.uint8), name="turned")
    (row,) = Dataset(CLASSES, [sample]).as_datasets()
    assert np.array_equal(np.asarray(row["image"]), sample.image)
