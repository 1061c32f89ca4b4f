import numpy as np
import pytest
from blocks import blocks
from formats import EVERY, LOSSY, export, needs, opened
from items import item

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
        export(name, CLASSES, some(), tmp_path / "set")
    classes, items = opened(tmp_path / "set")
    assert classes == CLASSES
    assert sorted(one.name for one in items) == ["0", "1", "2", "3"]
    truth = {one.name: one.label_map for one in some()}
    if name not in LOSSY:
        assert all(np.array_equal(one.label_map, truth[one.name]) for one in items)
    assert [one.name for one in opened(tmp_path / "set", split="val")[1]] == ["2"]
    assert len(opened(tmp_path / "set", split="train")[1]) == 3


def test_files(tmp_path):
    export("parquet", CLASSES, some(), tmp_path / "parquet")
    export("coco", CLASSES, some(), tmp_path / "coco")
    (file,) = (tmp_path / "parquet").rglob("train*.parquet")
    assert len(opened(file)[1]) == 3
    file = min((tmp_path / "coco").rglob("*.json"))
    assert opened(file)[0] == CLASSES


def test_nothing_known(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        opened(tmp_path / "missing")
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError) as error:
        opened(tmp_path)
    assert "it holds photo.jpg, but none of metadata.jsonl (native), SegmentationClass/ and labelmap.txt (CVAT), " in str(error.value)
    with pytest.raises(UserError, match="is no dataset"):
        opened(tmp_path / "photo.jpg")
