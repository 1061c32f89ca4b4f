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


def test_ultralytics_of_others(tmp_path):
    """Without a background every number is a class; with one it is 0 whatever its number; one name alone is a mask of 0
    and 1.
    """
    values = [[0, 1, 2, 255]]
    mapped = {"names": ["road", "sky"], "label_mapping": {-1: "ignore_label", 2: 0, 0: 1, 1: None}}
    cases = [
        ({"names": ["road", "sky", "car"]}, ("road", "sky", "car"), [[1, 2, 3, 255]]),
        ({"names": {0: "road", 1: "Background", 2: "car"}}, ("road", "car"), [[1, 0, 2, 255]]),
        (mapped, ("road", "sky"), [[2, 255, 1, 255]]),
        ({"names": ["crack"], "label_mapping": {2: 1}}, ("crack",), [[0, 1, 1, 255]]),
    ]
    for number, (given, classes, ids) in enumerate(cases):
        found, (one,) = imported("masks", ultralytics(tmp_path / f"{number}", given, a=values))
        assert found == classes
        assert np.array_equal(one.label_map, ids)


def test_given_classes_are_the_way_out_where_a_yaml_file_names_none(tmp_path):
    root = ultralytics(tmp_path / "set", {}, a=[[0, 1]])
    with user_error(r"set\.yaml: 'names' must list the classes"):
        imported("masks", root)
    assert imported("masks", root, classes=("road",))[0] == ("road",)


def test_a_yaml_file_that_leads_out_is_refused_though_classes_txt_names_ids(tmp_path):
    root = ultralytics(tmp_path / "set", {"names": ["road", "sky"], "label_mapping": {0: 1, 1: 0}}, a=[[0, 1, 255]])
    (root / "classes.txt").write_text("road\nsky\n")
    (root / "set.yaml").rename(tmp_path / "outside.yaml")
    (root / "set.yaml").symlink_to(tmp_path / "outside.yaml")
    with user_error(r"set\.yaml: leads out of"):
        imported("masks", root)
