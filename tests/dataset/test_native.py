import io

import numpy as np
import pytest
from items import item
from layouts import save_png
from PIL import Image
from refusals import user_error

from seediff import Dataset
from seediff.dataset import native
from seediff.dataset.sample import Sample
from seediff.dataset.saving import save_native
from seediff.files.label_maps import voc_palette


@pytest.fixture
def folder(tmp_path):
    """A dataset of one 4 × 6 picture of the classes with ids 2 and 7, with soft masks."""
    labels = np.zeros((4, 6), np.uint8)
    labels[1, 2:5] = 2, 7, 255
    given = [item("000003", labels)]
    save_native(tmp_path / "set", ("x", "a", "b", "c", "d", "e", "é"), given, about={})
    (tmp_path / "set" / native.SOFT).mkdir()
    for class_id, value in ((2, 0.0), (7, 1.0)):
        (tmp_path / f"set/soft/000003_{class_id}.png").write_bytes(
            native.encode_soft(np.full((4, 6), value, np.float32))
        )
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("file", "data", "place"),
    [
        ("masks/000003.png", native.encode_mask(np.zeros((4, 5), np.uint8)), r"sample '000003': label map is \(4, 5\)"),
        ("masks/000003.png", item().source, "masks/000003.png: .*8-bit palette or grey"),
        ("images/000003.png", b"\x89PNG nothing", "images/000003.png: cannot be read as a picture"),
        ("soft/000003_7.png", native.encode_soft(np.zeros((4, 5), np.float32)), r"000003_7\.png: is \(4, 5\)"),
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


def test_soft_masks_are_rounded_to_255_steps():
    soft = np.array([[0.0, 0.5, 1.0, 1.2]], np.float32)
    assert np.asarray(Image.open(io.BytesIO(native.encode_soft(soft)))).tolist() == [[0, 128, 255, 255]]


def test_masks_are_palette_pngs_with_every_id():
    for labels in (np.arange(256, dtype=np.uint8).reshape(8, 32), np.full((5, 300), 255, np.uint8).T):
        data = native.encode_mask(labels)
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # checksums of all chunks
        with Image.open(io.BytesIO(data)) as image:
            assert (image.mode, image.getpalette()) == ("P", list(voc_palette()))
            assert np.array_equal(np.asarray(image), labels)


def test_an_image_that_would_be_nearly_black_is_refused_by_its_name(tmp_path):
    path = save_png(tmp_path / "a.png", np.full((4, 6, 3), 4000), bits=16, kind=2)
    with user_error(r"^.*/a\.png: its highest value is below 4096"):
        Sample(path, np.zeros((4, 6), np.uint8), name="a").data()
