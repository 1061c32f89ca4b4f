import json

import numpy as np
import pytest
from blocks import blocks
from items import item
from PIL import Image

from seediff import Dataset, Sample

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
