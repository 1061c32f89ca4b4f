import numpy as np
import pytest
from blocks import blocks
from formats import EVERY, LOSSY, needs
from items import item

from seediff.dataset.formats.coco import export_coco
from seediff.dataset.formats.known import exporter
from seediff.dataset.formats.parquet import export_parquet
from seediff.dataset.opening import open_dataset
from seediff.dataset.store import write_native
from seediff.errors import UserError

CLASSES = ("cat", "dog", "cow")


def some():
    return [item(f"{i}", blocks(i), {"split": ("train", "val")[i == 2]}, (20, 30)) for i in range(4)]


@pytest.mark.parametrize("name", ["native", *EVERY])
def test_every_format(tmp_path, name):
    needs(name)
    if name == "native":
        write_native(tmp_path / "set", CLASSES, some(), about={"command": "test"})
    else:
        exporter(name)(CLASSES, some(), tmp_path / "set")
    classes, items = open_dataset(tmp_path / "set")
    assert classes == CLASSES
    assert sorted(one.name for one in items) == ["0", "1", "2", "3"]
    truth = {one.name: one.label_map for one in some()}
    if name not in LOSSY:
        assert all(np.array_equal(one.label_map, truth[one.name]) for one in items)
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
    assert "it holds photo.jpg, but none of metadata.jsonl (native), SegmentationClass/ and labelmap.txt (CVAT), " in str(error.value)
    with pytest.raises(UserError, match="is no dataset"):
        open_dataset(tmp_path / "photo.jpg")
