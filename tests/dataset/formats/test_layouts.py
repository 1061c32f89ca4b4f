"""Folders as other tools and people make them; layouts.toml has them all, and says how they are written."""

import numpy as np
import pytest
from formats import export
from items import item
from layout_cases import CASES, SHAPE, quarter, write_case
from layouts import save, save_image
from PIL import Image
from refusals import user_error

from seediff.dataset.dataset import Dataset
from seediff.dataset.sample import Sample
from seediff.errors import UserError
from seediff.files.label_maps import voc_palette


@pytest.mark.parametrize("about", CASES)
def test_a_layout(tmp_path, about):
    case, (read, source, options) = CASES[about], write_case(about, tmp_path)
    if "refused" in case:
        with pytest.raises(UserError):
            [one.labels(254) for one in read(source, **options)]
        return
    dataset = read(source, **options)
    assert dataset.classes == tuple(case.get("classes", ["cat"]))
    expected = {name: [*words.split(), "1"][:2] for name, words in case["samples"].items()}
    found = {one.name: one.metadata.get("split", "-") for one in dataset}
    assert found == {name: split for name, (split, _) in expected.items()}
    for one in dataset:
        labels = quarter(int(expected[one.name][1]))
        labels[labels == 0] = case.get("around", 0)
        np.testing.assert_array_equal(one.labels(len(dataset.classes)), labels)
    if not options:
        again = Dataset.open(source)
        assert (again.classes, [one.name for one in again]) == (dataset.classes, [one.name for one in dataset])


# What a table does not say: some pixels, links, our own exports.


@pytest.mark.parametrize("file", ["", "annotations/instances_train.json"])
def test_images_of_ours_are_not_those_in_a_folder_that_is_called_like_a_part(tmp_path, file):
    images = {name: np.full((*SHAPE, 3), 60 * number, np.uint8) for number, name in enumerate(("1", "train/1", "3"))}
    given = [
        Sample(image, quarter(1), None, {"split": "val" if name == "3" else "train"}, name=name)
        for name, image in images.items()
    ]
    export("coco", ("cat",), given, tmp_path)
    found = Dataset.open(tmp_path / file, "coco")
    assert len(found) == (2 if file else 3)
    assert all(np.array_equal(one.image, images[one.name]) for one in found)


def test_images_behind_a_link_are_named(tmp_path):
    write_case("Ultralytics: a folder a part", tmp_path / "yolo")
    export("voc", ("cat",), [item("a")], tmp_path / "voc")
    for folder, photos in (("yolo/images", "photos"), ("voc/JPEGImages", "voc photos")):
        (tmp_path / folder).rename(tmp_path / photos)
        (tmp_path / folder).symlink_to(tmp_path / photos)
    with user_error(r"has no images where they are looked for; --images names their folder"):
        Dataset.open(tmp_path / "yolo", "yolo")
    for images in ("yolo/images", "photos"):
        assert len(Dataset.open(tmp_path / "yolo", "yolo", images=tmp_path / images)) == 3
    with user_error(r"a\.png: leads out of "):
        Dataset.open(tmp_path / "voc", "voc")
    assert len(Dataset.open(tmp_path / "voc", "voc", images=tmp_path / "voc photos")) == 1


def test_colours_of_vocs_palette(tmp_path):
    palette = np.array(voc_palette(), np.uint8).reshape(-1, 3)
    save_image(tmp_path / "JPEGImages/a.jpg", SHAPE)
    save(tmp_path / "SegmentationClass/a.png")
    Image.fromarray(palette[quarter(20)]).save(tmp_path / "SegmentationClass/a.png")
    dataset = Dataset.open(tmp_path, "voc")
    assert (len(dataset.classes), dataset.classes[19]) == (20, "tvmonitor")
    np.testing.assert_array_equal(dataset[0].labels(20), quarter(20))
    palette[20] = 1, 2, 3
    Image.fromarray(palette[quarter(20)]).save(tmp_path / "SegmentationClass/a.png")
    with user_error(r"a\.png: has the colour 1,2,3, which is not a class of VOC's palette; a labelmap"):
        Dataset.open(tmp_path, "voc")[0].labels(254)
