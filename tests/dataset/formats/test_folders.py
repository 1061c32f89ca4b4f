import numpy as np
import yaml
from blocks import some
from formats import export, imported
from layouts import save_image, save_map
from PIL import Image
from refusals import user_error

CLASSES = ("cat", "dog, or wolf", 'a "cow"')


def test_ultralytics_files(tmp_path):
    """Label maps are grey: readers that take a palette picture for its colours get ids."""
    export("masks", CLASSES, some(), tmp_path)
    names = dict(enumerate(["background", *CLASSES]))
    expected = {"train": "images/train", "val": "images/train", "masks_dir": "masks", "names": names}
    assert yaml.safe_load((tmp_path / "data.yaml").read_text()) == expected
    truths = {one.name.rpartition("/")[2]: one.label_map for one in some()}
    for path in (tmp_path / "masks").rglob("*.png"):
        with Image.open(path) as image:
            assert image.mode == "L"
            assert np.array_equal(np.asarray(image), truths.pop(path.stem))
    assert not truths


def ultralytics(root, data, **maps):
    """A set as others have it, with a mask of (name → values)."""
    for name, values in maps.items():
        save_image(root / f"images/train/{name}.png", np.shape(values))
        save_map(root / f"annotations/train/{name}.png", values, palette=False)
    (root / "set.yaml").write_text(
        yaml.safe_dump({"path": "elsewhere", "train": "images/train", "masks_dir": "annotations", **data})
    )
    return root


def test_given_classes_are_the_way_out_where_a_yaml_file_names_none(tmp_path):
    root = ultralytics(tmp_path / "set", {}, a=[[0, 1]])
    with user_error("nothing says what the masks' values mean"):
        imported("masks", root)
    assert imported("masks", root, classes=("road",))[0] == ("road",)
