import numpy as np
import pytest
from blocks import blocks
from items import item

from seediff.dataset.formats.coco import export_coco
from seediff.dataset.formats.parquet import export_parquet
from seediff.dataset.formats.voc import export_voc
from seediff.dataset.formats.webdataset import export_webdataset
from seediff.dataset.formats.yolo import export_yolo
from seediff.dataset.opening import open_dataset
from seediff.errors import UserError
from seediff.run.collect import write_native

CLASSES = ("cat", "dog", "cow")
EXPORTS = {
    "native": lambda classes, items, out: write_native(out, classes, items, about={"command": "test"}),
    "voc": export_voc,
    "coco": export_coco,
    "yolo": export_yolo,
    "parquet": export_parquet,
    "webdataset": export_webdataset,
}


def some():
    return [item(f"{i}", blocks(i), {"split": ("train", "val")[i == 2]}, (20, 30)) for i in range(4)]


@pytest.mark.parametrize("format_", EXPORTS)
def test_every_format(tmp_path, format_):
    EXPORTS[format_](CLASSES, some(), tmp_path / "set")
    classes, items = open_dataset(tmp_path / "set")
    assert classes == CLASSES
    assert sorted(one.name for one in items) == ["0", "1", "2", "3"]
    truth = {one.name: one.label_map() for one in some()}
    if format_ != "yolo":  # which has polygons only
        assert all(np.array_equal(one.label_map(), truth[one.name]) for one in items)
    assert [one.name for one in open_dataset(tmp_path / "set", split="val")[1]] == ["2"]
    assert len(open_dataset(tmp_path / "set", split="train")[1]) == 3


def test_files(tmp_path):
    export_parquet(CLASSES, some(), tmp_path / "parquet")
    export_coco(CLASSES, some(), tmp_path / "coco")
    (file,) = (tmp_path / "parquet").rglob("train*.parquet")
    assert len(open_dataset(file)[1]) == 3
    file = min((tmp_path / "coco").rglob("*.json"))
    assert open_dataset(file)[0] == CLASSES


def test_nothing_known(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        open_dataset(tmp_path / "missing")
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError) as error:
        open_dataset(tmp_path)
    assert "it holds photo.jpg, but none of metadata.jsonl (native), SegmentationClass/ (VOC)" in str(error.value)
    with pytest.raises(UserError, match="is no dataset"):
        open_dataset(tmp_path / "photo.jpg")
