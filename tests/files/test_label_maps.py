import numpy as np
from damage import refusal
from hypothesis import given
from hypothesis import strategies as st
from layouts import save_map
from patience import PATIENT
from PIL import Image
from refusals import user_error

from seediff.files.label_maps import named_images, pair, read_segment_ids, resize_nearest


def test_ids_of_1_8_and_16_bits(tmp_path):
    for palette in (True, False):
        found = read_segment_ids(save_map(tmp_path / "a.png", [[0, 3], [254, 255]], palette=palette))
        assert found.dtype == np.int32
        assert found.tolist() == [[0, 3], [254, -1]]
    assert read_segment_ids(save_map(tmp_path / "a.png", [[255, 65535]], bits=16)).tolist() == [[255, -1]]
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_segment_ids(tmp_path / "a.png").tolist() == [[1, 0]]


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


def names_of(paired, folder):
    return {label: path.relative_to(folder).as_posix() for label, path in paired.items()}


def test_pairs_by_path_then_by_file_name(tmp_path):
    for name in ("labels/a.png", "labels/city/b_leftImg8bit.png", "labels/deep/c.png", "labels/more.png"):
        save_map(tmp_path / name, [[0]])
    paired, missing = pair(["a", "city/b", "x/c", "d"], tmp_path)
    assert names_of(paired, tmp_path / "labels") == {
        "a": "a.png",
        "city/b": "city/b_leftImg8bit.png",
        "x/c": "deep/c.png",
    }
    assert missing == ["d"]
    assert pair(["city/b_leftImg8bit"], tmp_path) == ({"city/b_leftImg8bit": paired["city/b"]}, [])


def test_same_file_names_in_several_folders(tmp_path):
    for name in ("x/1.png", "y/1.png"):
        save_map(tmp_path / name, [[0]])
    assert names_of(pair(["x/1", "y/1"], tmp_path)[0], tmp_path) == {"x/1": "x/1.png", "y/1": "y/1.png"}
    with user_error(r"predictions 'x/1' and 'y/1' could both belong to label '1'"):
        pair(["1"], tmp_path)
    with user_error(r"prediction 'z' could belong to 2 labels"):
        pair(["a/z", "b/z"], save_map(tmp_path / "flat" / "z.png", [[0]]).parent)
    (tmp_path / "empty").mkdir()
    with user_error("empty: has no PNG files"):
        pair(["a"], tmp_path / "empty")


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
