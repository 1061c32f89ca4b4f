import io
import json
import struct
import zlib
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seediff.dataset import native, store
from seediff.dataset.encoding import is_own_mask
from seediff.errors import UserError
from seediff.files.label_maps import voc_palette


def save(folder, rows):
    for name in (native.IMAGES, native.MASKS):
        (folder / name).mkdir(exist_ok=True)
    (folder / native.METADATA).write_bytes(native.jsonl(rows))
    (folder / native.CLASSES).write_bytes(native.classes_text(("x", "a", "b", "c", "d", "e", "é")))


def one_sample(folder, labels=None, soft=False):
    """A dataset of one 4 × 6 image of the classes with ids 2 and 7."""
    image = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    labels = np.zeros((4, 6), np.uint8) if labels is None else labels
    save(folder, [{"file_name": "images/000003.png", "mask": "masks/000003.png", "class_ids": [2, 7], "classes": ["a", "é"]}])
    (folder / "images/000003.png").write_bytes(native.encode_image(image, "png"))
    (folder / "masks/000003.png").write_bytes(native.encode_mask(labels))
    if soft:
        (folder / native.SOFT).mkdir()
        for class_id, value in ((2, 0.0), (7, 1.0)):
            (folder / f"soft/000003_{class_id}.png").write_bytes(native.encode_soft(np.full((4, 6), value, np.float32)))
    return image


def read(folder):
    return [(sample.image, sample.label_map, sample.soft) for sample in store.read_dataset(folder)]


def test_read_what_was_written(tmp_path):
    labels = np.zeros((4, 6), np.uint8)
    labels[1, 2:5] = 2, 7, 255
    image = one_sample(tmp_path, labels, soft=True)
    (sample,) = store.read_dataset(tmp_path)
    assert np.array_equal(sample.image, image)
    assert np.array_equal(sample.label_map, labels)
    assert sample.metadata["classes"] == ["a", "é"]
    assert sample.soft is not None
    assert sample.soft.shape == (2, 4, 6)
    assert sample.soft[0].max() == 0
    assert sample.soft[1].min() == 1


def test_image_formats():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(native.encode_image(image, "png")))), image)
    assert Image.open(io.BytesIO(native.encode_image(image, "jpg"))).format == "JPEG"


def test_dataset_labels_keep_background_and_ignore():
    own = np.array([[0, 1, 2, 255]], np.uint8)
    assert native.dataset_labels(own, [5, 3]).tolist() == [[0, 5, 3, 255]]


def test_soft_masks_are_rounded_to_255_steps():
    soft = np.array([[0.0, 0.5, 1.0, 1.2]], np.float32)
    assert np.asarray(Image.open(io.BytesIO(native.encode_soft(soft)))).tolist() == [[0, 128, 255, 255]]


def test_class_list_round_trip(tmp_path):
    (tmp_path / native.CLASSES).write_bytes(native.classes_text(("dog", "café")))
    assert native.read_classes(tmp_path) == ("dog", "café")
    (tmp_path / native.CLASSES).write_text("dog\n")
    with pytest.raises(UserError, match="first line must be 'background'"):
        native.read_classes(tmp_path)
    (tmp_path / native.CLASSES).write_text("background\n" + "".join(f"c{i}\n" for i in range(255)))
    with pytest.raises(UserError, match="255 classes; label maps hold at most 254"):
        native.read_classes(tmp_path)


def test_rows_may_hold_any_text(tmp_path):
    rows = [{"prompt": "a line separator \u2028 and é"}, {"prompt": "b"}]
    save(tmp_path, rows)
    assert native.read_rows(tmp_path) == rows
    assert [json.loads(line) for line in (tmp_path / native.METADATA).read_bytes().split(b"\n")[:2]] == rows


def test_broken_datasets_name_the_file(tmp_path):
    with pytest.raises(UserError, match=r"classes\.txt: there is no such file"):
        list(store.read_dataset(tmp_path))
    one_sample(tmp_path)
    (tmp_path / "masks/000003.png").write_bytes(native.encode_mask(np.zeros((4, 5), np.uint8)))
    with pytest.raises(UserError, match=r"sample '000003': label map is \(4, 5\), but its picture is \(4, 6\)"):
        read(tmp_path)
    (tmp_path / "masks/000003.png").write_bytes(native.encode_image(np.zeros((4, 6, 3), np.uint8), "png"))
    with pytest.raises(UserError, match="8-bit palette or grey"):
        read(tmp_path)
    (tmp_path / "images/000003.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(UserError, match="cannot be read as a picture"):
        read(tmp_path)
    (tmp_path / "images/000003.png").unlink()
    with pytest.raises(UserError, match="there is no such file"):
        list(store.read_dataset(tmp_path))
    (tmp_path / native.METADATA).write_text("{}\n[1]\n")
    with pytest.raises(UserError, match=r"metadata\.jsonl, line 2: must be a table"):
        list(store.read_dataset(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file_name": "../outside.png"}, "row 1: 'file_name' leads out of the dataset folder"),
        ({"mask": "{folder}/../outside.png"}, "'mask' leads out"),
        ({"mask": "masks/link.png"}, "'mask' leads out"),
        ({"mask": "a\0b"}, "'mask' is no path"),
        ({"file_name": None}, "'file_name' must be the path of a picture inside the dataset, not null"),
        ({"class_ids": "2"}, "class_ids must be a list"),
    ],
)
def test_rows_do_not_lead_out_of_the_folder(tmp_path, change, message):
    folder = tmp_path / "data"
    folder.mkdir()
    image = one_sample(folder, soft=True)
    (tmp_path / "outside.png").write_bytes(native.encode_mask(np.zeros((4, 6), np.uint8)))
    (folder / "masks/link.png").symlink_to(tmp_path / "outside.png")
    (folder / "images/first.png").write_bytes(native.encode_image(image, "png"))
    row = {**native.read_rows(folder)[0], **change}
    save(folder, [{key: value.replace("{folder}", str(folder)) if isinstance(value, str) else value for key, value in row.items()}])
    with pytest.raises(UserError, match=message):
        list(store.read_dataset(folder))


def test_soft_masks_of_another_size_are_refused(tmp_path):
    one_sample(tmp_path, soft=True)
    (tmp_path / "soft/000003_7.png").write_bytes(native.encode_soft(np.zeros((4, 5), np.float32)))
    with pytest.raises(UserError, match=r"must have a soft mask of \(4, 6\)"):
        read(tmp_path)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (300, 5), (64, 80)])
def test_masks_are_palette_pngs_with_every_id(shape):
    rng = np.random.default_rng(0)
    for labels in (rng.integers(0, 256, shape).astype(np.uint8), np.zeros(shape, np.uint8), np.full(shape[::-1], 255, np.uint8).T):
        data = native.encode_mask(labels)
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()  # checksums of all chunks
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.mode, picture.getpalette()) == ("P", list(voc_palette()))
            assert np.array_equal(np.asarray(picture), labels)
        assert is_own_mask(data)


@given(st.text(alphabet="a./ images", min_size=1).map(lambda text: f"images/{text}"))
def test_names_of_samples_are_those_of_their_paths(file_name):
    try:
        wanted = PurePosixPath(file_name).with_suffix("").as_posix().removeprefix("images/")
    except ValueError:
        return
    assert native.sample_name(file_name) == wanted


def test_bytes_behind_the_pixels_of_a_mask_change_nothing(tmp_path):
    """Neither behind the compressed stream nor behind the picture's end: they are no pixels, and nothing reads them."""
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    data = native.encode_mask(labels)
    at = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    inside = b"IDAT" + data[at + 4 : at + 4 + length] + zlib.compress(bytes(1 << 20))
    chunk = struct.pack(">I", len(inside) - 4) + inside + struct.pack(">I", zlib.crc32(inside))
    for changed in (data[: at - 4] + chunk + data[at + 8 + length :], data + b"more" * 100):
        (tmp_path / "a.png").write_bytes(changed)
        assert np.array_equal(native.read_label_map(tmp_path / "a.png"), labels)
