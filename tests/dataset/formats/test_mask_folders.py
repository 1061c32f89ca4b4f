import numpy as np
import pytest
from items import item
from layouts import save_image
from PIL import Image
from refusals import user_error

from seediff.dataset.dataset import Dataset


def test_a_crowd_alone_in_a_picture_stays_ignored_through_voc(tmp_path):
    labels = np.array([[0, 255]], np.uint8)
    dataset = Dataset(("dog",), [item("a", labels, {}, (1, 2)), item("b", labels // 255, {}, (1, 2))])
    for name in ("voc", "masks"):
        dataset.export(name, tmp_path / name)
        assert [one.label_map.tolist() for one in Dataset.open(tmp_path / name, name)] == [[[0, 255]], [[0, 1]]]


@pytest.mark.parametrize(
    ("mode", "values", "classes", "void", "ids"),
    [
        ("RGB", [0, 255], ("dog",), [], [0, 1]), ("LA", [0, 255], ("dog",), [], [0, 1]),
        ("RGB", [1, 2], ("a", "b"), [], [1, 2]),
        ("L", [0, 2], ("dog",), [2], [0, 255]), ("L", [2, 255, 1], ("dog",), [2], [255, 255, 1]),
        ("1", [0, 255], ("dog",), [], [0, 1]),
        ("1", [0, 255], ("a", "b"), [], "a mask is a PNG"),
    ],
)  # fmt: skip
def test_values_of_one_mask(tmp_path, mode, values, classes, void, ids):
    save_image(tmp_path / "images/a.jpg", (1, len(values)))
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.array([values], np.uint8)).convert(mode).save(tmp_path / "masks/a.png")
    dataset = Dataset.open(tmp_path, "masks", classes=classes, void=void)
    if isinstance(ids, str):
        with user_error(rf"a\.png: is PNG {mode} data; {ids}"):
            dataset[0].labels(2)
    else:
        assert dataset[0].label_map.tolist() == [ids]
