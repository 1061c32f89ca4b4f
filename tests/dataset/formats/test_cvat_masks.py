import numpy as np
import pytest
from blocks import some
from formats import export, imported
from items import names
from PIL import Image

from seediff.errors import UserError

CLASSES = ("cat", "dog", "cow")


def test_there_and_back(tmp_path):
    done = export("cvat-masks", CLASSES, some(), tmp_path / "set", objects=True)
    assert done.files == len(names(tmp_path / "set")) == 14
    assert (tmp_path / "set/ImageSets/Segmentation/default.txt").read_text().split() == [f"trip/{i}" for i in range(4)]
    classes, items = imported("cvat-masks", tmp_path / "set")
    assert classes == CLASSES
    for one, truth in zip(items, some(), strict=True):
        assert one.name == truth.name
        assert np.array_equal(one.label_map, truth.label_map)


def test_colours_are_those_of_the_list(tmp_path):
    """As a reader sees them that knows colours alone."""
    export("cvat-masks", CLASSES, some(), tmp_path / "set")
    lines = [line.split(":") for line in (tmp_path / "set/labelmap.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line[0] for line in lines] == ["background", *CLASSES, "ignored"]
    ids = dict(zip([tuple(map(int, line[1].split(","))) for line in lines], (0, 1, 2, 3, 255), strict=True))
    for truth in some():
        seen = np.asarray(Image.open(tmp_path / f"set/SegmentationClass/{truth.name}.png").convert("RGB"))
        assert np.array_equal(np.apply_along_axis(lambda colour: ids[tuple(colour.tolist())], 2, seen), truth.label_map)


@pytest.mark.parametrize("name", ["a:b", "#cat"])
def test_a_class_that_the_list_cannot_hold(tmp_path, name):
    with pytest.raises(UserError, match="must have no colon and begin with no #"):
        export("cvat-masks", (name,), some(), tmp_path / "set")


def test_a_folder_without_the_list(tmp_path):
    export("voc", CLASSES, some(), tmp_path / "set")
    with pytest.raises(UserError, match=r"has no SegmentationClass/ with a labelmap\.txt beside it"):
        imported("cvat-masks", tmp_path / "set")
