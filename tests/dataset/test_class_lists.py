import numpy as np
import pytest
from layouts import save_png
from PIL import Image
from refusals import user_error

from seediff.config.class_names import name_of_zero, parse_classes
from seediff.dataset.class_lists import find_list, named_classes
from seediff.dataset.encoding import read_label_map, read_objects
from seediff.dataset.stored_masks import read_mask
from seediff.files.label_maps import read_segment_ids, voc_palette

VALUES = np.array([[0, 1], [2, 3]], np.uint8)
VOC = voc_palette()[:12]


def mask(path, values, palette=None):
    image = Image.fromarray(values, "P")
    if palette is not None:
        image.putpalette(palette)
    image.save(path)
    return path


def listing(folder, text, name="classes.txt"):
    (folder / name).write_text(text.replace(" / ", "\n") + "\n", encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    "palette",
    [
        VOC,
        VOC[:9] + [0] * 759,  # the last class has the background's black
        [number // 3 + 7 for number in range(600)],
    ],
    ids=["VOC's", "zeros after VOC's", "its own"],
)
def test_a_palette_that_says_nothing_leaves_the_indices(tmp_path, palette):
    found = read_mask(mask(tmp_path / "a.png", VALUES, palette), named_classes(("dog", "cat", "cow")))
    np.testing.assert_array_equal(found, VALUES)


def test_an_index_beyond_the_palette_is_a_value(tmp_path):
    """Pillow writes a palette of one entry where none was given."""
    found = read_mask(mask(tmp_path / "a.png", VALUES % 2, None), named_classes(("dog",)))
    np.testing.assert_array_equal(found, VALUES % 2)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_greys_are_the_stored_numbers(tmp_path, bits):
    values = VALUES % 2 ** min(bits, 2)
    path = save_png(tmp_path / "a.png", values, bits=bits)
    for found in (
        read_mask(path, named_classes(("dog", "cat", "cow")[: values.max()])),
        read_segment_ids(path),
        read_objects(path, (1, 1, 2), ()).numbers if bits > 1 else values,
        read_label_map(path) if 1 < bits < 16 else values,
    ):
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("kind", [2, 4, 6])
def test_colours_of_16_bits_are_refused(tmp_path, kind):
    path = save_png(tmp_path / "a.png", np.ones((2, 2, {2: 3, 4: 2, 6: 4}[kind])), bits=16, kind=kind)
    with user_error(r"a\.png: is PNG .*;16 data; a mask is a PNG: palette, grey or in colours of 8 bits"):
        read_mask(path, named_classes(("dog",)))


RED = [128, 0, 0]


@pytest.mark.parametrize(
    ("rows", "classes", "ids"),
    [  # pixels with alpha in the end → ids
        ([[0, 0], [0, 2], [0, 1]], 2, [0, 2, 1]), ([[255] * 4, [255, 255, 255, 0]], 1, [255, 0]),
        ([[1, 255], [1, 255]], 1, [1, 1]), ([[*RED, 255], [0] * 4], 1, [1, 0]),
        ([[*RED, 0], [0, 0, 0, 255]], 1, "both its colours"),
        ([[255, 0], [255, 100]], 1, "has id 100"),
    ],
)  # fmt: skip
def test_alpha_channels(tmp_path, rows, classes, ids):
    path = save_png(tmp_path / "a.png", [rows], bits=8, kind=2 * len(rows[0]) - (len(rows[0]) == 4) * 2)
    listed = named_classes(("dog", "cat")[:classes])
    if isinstance(ids, str):
        with user_error(rf"a\.png: {ids}"):
            read_mask(path, listed)
    else:
        assert read_mask(path, listed).tolist() == [ids]


def test_an_alpha_channel_beside_colours_of_a_list_is_no_mask(tmp_path):
    listing(tmp_path, "wall:255,255,255:: / door:0,0,0::", "labelmap.txt")
    listed = find_list(tmp_path)
    with user_error("both its colours and its alpha channel may be the mask; save it"):
        read_mask(save_png(tmp_path / "a.png", [[[255, 255, 255, 0], [255] * 4]], bits=8, kind=6), listed)
    path = save_png(tmp_path / "a.png", [[[255, 255, 255, 0]] * 2], bits=8, kind=6)
    assert read_mask(path, listed).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("dog / cat", {0: 0, 1: 1, 2: 2}),
        ("void / dog / cat", {0: 255, 1: 1, 2: 2}),
        ("0 background / 1 dog / 2 cat / 255 void", {0: 0, 1: 1, 2: 2, 255: 255}),
        ("7 dog / 8 cat", {0: 0, 7: 1, 8: 2}),
        ("dog / Void / cat / _ignore", {0: 0, 1: 1, 2: 255, 3: 2, 4: 3}),
        ("background / dog / unlabelled / cat / ignore", {0: 0, 1: 1, 2: 255, 3: 2, 4: 255}),
    ],
)
def test_ids_of_a_list(tmp_path, text, ids):
    listing(tmp_path, text)
    notes = []
    listed = find_list(tmp_path, note=notes.append)
    assert (listed.ids, listed.classes) == (ids, ("dog", "cat", "_ignore")[: max({*ids.values()} - {255})])
    void = [note for note in notes if note.endswith("is no class: its pixels are ignored (255)")]
    assert bool(void) == any(id_ == 255 != number for number, id_ in ids.items())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 dog / 1 cat / 2 cow", "gives two classes the id 1; give each its own"),
        ("1 dog / 3 cat", "does not number its classes 1, 2, … in order; write just names"),
        ("0 dog / 1 cat", "does not number its classes 1, 2, … in order; write just names"),
    ],
)
def test_refused_numbers_of_classes(tmp_path, text, said):
    with user_error(said):
        parse_classes(str(listing(tmp_path, text)))


def test_the_name_of_id_zero_of_a_file(tmp_path):
    assert name_of_zero(str(listing(tmp_path, "Void / dog"))) == "Void"
    assert name_of_zero(",".join(f"class {number}" for number in range(254))) == ""  # longer than a path may be


def test_lists_of_names_and_colours_that_disagree_are_refused(tmp_path):
    listing(tmp_path, "background:0,0,0:: / dog:128,0,0:: / cat:0,128,0::", "labelmap.txt")
    listing(tmp_path, "dog / cat")
    assert find_list(tmp_path) is not None
    listing(tmp_path, "cat / dog")
    with user_error(r"labelmap\.txt: and .*classes\.txt do not list the same classes"):
        find_list(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Background:0,215,255:: / Bone:255,0,204:: / background:000,00,0::", "background"),
        ("Bone:0,215,255:: / Bone:255,0,204::", "Bone"),
    ],
)
def test_several_lines_of_one_class_are_told(tmp_path, text, said):
    notes = []
    listed = find_list(listing(tmp_path, text, "labelmap.txt").parent, note=notes.append)
    assert listed.classes == ("Bone",)
    assert [note.rpartition(" become ")[2] for note in notes] == [f"one class: {said}"]
