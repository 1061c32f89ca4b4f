import numpy as np
import pytest
from items import item
from layouts import save, save_image
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


CELLS = np.array([[300, 0, 7, 7], [300, 0, 0, 2], [0, 0, 2, 2]], np.uint16)


def palette(values, colours):
    image = Image.fromarray(np.asarray(values, np.uint8))
    image.putpalette(colours)
    return image


@pytest.mark.parametrize("mask", [Image.fromarray(CELLS), palette(CELLS % 255, [9, 9, 9] * 256)])
def test_three_cells_in_a_picture_of_numbers_become_three_objects(tmp_path, mask):
    save_image(tmp_path / "images/a.png", CELLS.shape)
    mask.save(save(tmp_path / "masks/a.png"))
    (one,) = Dataset.open(tmp_path, "masks", classes=("cell",), numbers="objects")
    assert one.label_map.tolist() == (CELLS > 0).tolist()
    assert one.instances.class_ids == (1, 1, 1)
    for number in (2, 7, 300):
        assert len(np.unique(one.instances.numbers[number == CELLS])) == 1


@pytest.mark.parametrize("name", ["voc", "masks"])
def test_an_index_whose_colour_changes_is_no_id(tmp_path, name):
    images, masks = {"voc": ("JPEGImages", "SegmentationClass"), "masks": ("images", "masks")}[name]
    ground, one, other = [0, 0, 0], [1, 2, 3], [4, 5, 6]
    for key, values, colours in (
        ("a", [[0, 2]], ground + other + one),
        ("b", [[0, 0]], ground + one),
        ("c", [[0, 1]], ground + one),
    ):
        save_image(tmp_path / images / f"{key}.png", (1, 2))
        palette(values, colours).save(save(tmp_path / masks / f"{key}.png"))
    found = Dataset.open(tmp_path, name, classes=("cat", "dog"))
    assert [one.label_map.tolist() for one in found] == [[[0, 2]], [[0, 0]], [[0, 1]]]
    palette([[0, 1]], ground + other).save(tmp_path / masks / "b.png")
    with user_error(r"c\.png: the indices and the colours of its palette mean .*: 1 has another colour in .*b\.png"):
        Dataset.open(tmp_path, name, classes=("cat", "dog"))
