import io

import numpy as np
import pytest
from interrupted import contents
from items import item, names
from PIL import Image
from refusals import user_error

from seediff import Dataset
from seediff.dataset import native
from seediff.dataset.encoding import encode_mask, encode_soft
from seediff.dataset.native import open_native
from seediff.dataset.sample import SOFT, check_name
from seediff.dataset.writing import save_native
from seediff.files.label_maps import voc_palette
from seediff.files.names import CONFIG


@pytest.fixture
def folder(tmp_path):
    """A dataset of one 4 × 6 picture of the classes with ids 2 and 7, with soft masks."""
    labels = np.zeros((4, 6), np.uint8)
    labels[1, 2:5] = 2, 7, 255
    given = [item("000003", labels)]
    save_native(tmp_path / "set", ("x", "a", "b", "c", "d", "e", "é"), given, about={})
    (tmp_path / "set" / SOFT).mkdir()
    for class_id, value in ((2, 0.0), (7, 1.0)):
        (tmp_path / f"set/soft/000003_{class_id}.png").write_bytes(encode_soft(np.full((4, 6), value, np.float32)))
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("file", "data", "place"),
    [
        ("masks/000003.png", encode_mask(np.zeros((4, 5), np.uint8)), r"sample '000003': label map is \(4, 5\)"),
        ("masks/000003.png", None, r"masks/000003\.png: no such file"),
        ("masks/000003.png", item().source, "masks/000003.png: .*8-bit palette or grey"),
        ("images/000003.png", b"\x89PNG nothing", "images/000003.png: cannot be read as an image"),
        ("soft/000003_7.png", encode_soft(np.zeros((4, 5), np.float32)), r"000003_7\.png: is \(4, 5\)"),
        ("classes.txt", b"background\n" + b"".join(b"c%d\n" % i for i in range(255)), "255 classes"),
        ("metadata.jsonl", b"\n[1]\n", r"metadata\.jsonl, line 2: must be an object"),
    ],
)
def test_broken_datasets_name_the_file(folder, file, data, place):
    (folder / file).unlink()
    if data is not None:
        (folder / file).write_bytes(data)
    with user_error(place):
        [(sample.image, sample.label_map, sample.soft) for sample in Dataset.open(folder)]


@pytest.mark.parametrize("shape", [(8, 32), (256, 1)])
def test_masks_are_palette_pngs_with_every_id(shape):
    labels = np.arange(256, dtype=np.uint8).reshape(shape)
    with Image.open(io.BytesIO(encode_mask(labels))) as image:
        assert (image.mode, image.getpalette()) == ("P", voc_palette())
        assert np.array_equal(np.asarray(image), labels)


def test_native_round_trip(tmp_path):
    labels = np.zeros((4, 6), np.uint8)
    labels[1, 1:5] = 3, 1, 255, 3
    row = {"prompt": "é \u2028", "classes": ["bus"], "class_ids": [9], "area": {"bus": 1.0}, "mask_file_name": "y"}
    row["depth_file_name"] = "z"  # of a file that is not copied
    given = [item("000000", labels, row), item("trip/1", suffix="jpg")]
    save_native(tmp_path / "out", ("cat", "bus", "dog"), given, about={"command": "test"})
    classes, items = open_native(tmp_path / "out")
    assert (classes, [one.name for one in items]) == (("cat", "bus", "dog"), ["000000", "trip/1"])
    assert np.array_equal(items[0].label_map, labels)
    assert all(one.source.read_bytes() == two.source for one, two in zip(items, given, strict=True))
    assert items[0].metadata == {
        "file_name": "images/000000.png",
        "mask_file_name": "masks/000000.png",
        "prompt": "é \u2028",
        "classes": ["bus", "cat", "dog"],
        "class_ids": [2, 1, 3],
        "area": {"bus": 0.0, "cat": round(1 / 24, 6), "dog": round(2 / 24, 6)},
    }
    files = (
        "README.md classes.txt images/000000.png images/trip/1.jpg masks/000000.png masks/trip/1.png metadata.jsonl"
        " preview.html"
    )
    assert names(tmp_path / "out") == files.split()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| command | test |" in card
    assert "Their rows in `metadata.jsonl` say what is known of their origin." in card
    save_native(tmp_path / "again", classes, items, about={"command": "test"}, link=True)
    assert contents(tmp_path / "again") == contents(tmp_path / "out")
    assert (tmp_path / "again/images/000000.png").samefile(tmp_path / "out/images/000000.png")
    assert not (tmp_path / "again/masks/000000.png").samefile(tmp_path / "out/masks/000000.png")


@pytest.mark.parametrize("name", ["", "/a", "a/", "a/../b", "a\\b", ".a", "C:a", "a\0"])
def test_names_that_lead_elsewhere(name):
    with user_error("cannot be a file name"):
        check_name(name, set())


def test_a_run_that_is_not_finished(tmp_path):
    """One that was stopped while it tidied up is finished."""
    folder = tmp_path / "pets"
    (folder / ".batches").mkdir(parents=True)
    (folder / CONFIG).write_text('command = "mask"\n')
    said = "pets: the run that makes it is not finished; run its command again to continue it"
    with user_error(f"{said}$"):
        open_native(folder)
    (folder / ".batches/0.json").write_text("{}")
    with user_error(f"{said}, or with --finish"):
        open_native(folder)
    save_native(tmp_path / "whole", ("dog",), [item("0")], about={})
    (tmp_path / "whole/.batches").mkdir()
    native.check_complete(tmp_path / "whole")
