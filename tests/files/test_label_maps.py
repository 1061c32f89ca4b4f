import numpy as np
import pytest
from damage import refusal
from hypothesis import given
from hypothesis import strategies as st
from layouts import save_map
from patience import PATIENT
from PIL import Image

from seediff.files.label_maps import read_segment_ids, resize_nearest
from seediff.files.photo_files import named_images


@pytest.mark.parametrize(("bits", "ids"), [(8, [254, -1, -1]), (16, [254, 255, -1])])
def test_the_highest_id_is_none(tmp_path, bits, ids):
    found = read_segment_ids(save_map(tmp_path / "a.png", [[254, 255, 2**bits - 1]], bits=bits))
    assert (found.dtype, found.tolist()) == (np.int32, [ids])


def test_files_that_are_no_label_maps(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    Image.new("LA", (4, 4)).save(tmp_path / "alpha.png")
    Image.new("L", (4, 4)).save(tmp_path / "jpeg.png", "JPEG")
    (tmp_path / "text.png").write_text("no picture")
    whole = save_map(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64))).read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    for name in ("colour", "alpha", "jpeg", "text", "truncated", "absent"):
        path = tmp_path / f"{name}.png"
        assert refusal(lambda path=path: read_segment_ids(path), path)


def test_images_below_folders_and_links(tmp_path):
    folder = tmp_path / "maps"
    for name in ("b.png", "a/c.PNG", "a/.hidden.png", "d.v2.png"):
        save_map(folder / name, [[0]])
    (folder / "notes.txt").write_text("")
    (folder / "pipe.png").mkdir()
    save_map(tmp_path / "elsewhere" / "e.png", [[0]])
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "circle").symlink_to(folder)
    assert [name for name, _ in named_images(folder)] == ["a/c", "b", "d.v2", "linked/e"]


@PATIENT
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resize_takes_what_lies_beneath_each_centre(height, width, new_height, new_width):
    array = np.random.default_rng(0).integers(0, 99, (height, width))
    found = resize_nearest(array, new_height, new_width)
    expected = [
        [
            array[int((i + 0.5) * height / new_height + 1e-9), int((j + 0.5) * width / new_width + 1e-9)]
            for j in range(new_width)
        ]
        for i in range(new_height)
    ]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(resize_nearest(array, height, width), array)
