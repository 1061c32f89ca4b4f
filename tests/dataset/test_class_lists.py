import re

import numpy as np
import pytest
from layouts import save_png
from PIL import Image
from refusals import user_error

from seediff.config.class_names import name_of_zero, parse_classes
from seediff.dataset.class_lists import find_class_list, named_classes
from seediff.dataset.encoding import read_label_map, read_objects
from seediff.dataset.mask_values import read_mask, with_single
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


@pytest.mark.parametrize(
    ("classes", "values", "palette"),
    [
        (("dog",), [0, 1], [255] * 3 + [0] * 3),  # white first: the mask looks inverted
        (("dog",), [1, 1], [255] * 3 + [0] * 3),
        (("dog", "cat"), [0, 1], [255] * 3 + [0] * 3),
        (("dog", "cat"), [0, 1], [0] * 3 + [2] * 3),  # its greys are 0 and 2
        (("dog", "cat"), [0, 1], [0] * 3 + [0, 128, 0]),  # VOC's green is 2
    ],
)
def test_a_palette_whose_colours_mean_other_ids_is_refused(tmp_path, classes, values, palette):
    path = mask(tmp_path / "a.png", np.array([values], np.uint8), palette)
    with user_error("the indices and the colours of its palette mean different ids"):
        read_mask(path, with_single(named_classes(classes), str))


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


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("dog / cat", "0=0 1=1 2=2"),
        ("void / dog / cat", "0=255 1=1 2=2"),
        ("0 background / 1 dog / 2 cat / 255 void", "0=0 1=1 2=2 255=255"),
        ("7 dog / 8 cat", "0=0 7=1 8=2"),
        ("dog / Void / cat / _ignore", "1=1 2=255 3=2 4=3"),
        ("dog / cat / Background", "1=1 2=2 3=0"),
        ("1 dog / 2 cat / 3 background", "1=1 2=2 3=0"),
        ("background / dog / unlabelled / cat / ignore", "0=0 1=1 2=255 3=2 4=255"),
    ],
)
def test_ids_of_a_list(tmp_path, text, ids):
    listing(tmp_path, text)
    ids = {int(value): int(id_) for value, id_ in (pair.split("=") for pair in ids.split())}
    notes = []
    listed = find_class_list(tmp_path, note=notes.append)
    assert (listed.ids, listed.classes) == (ids, ("dog", "cat", "_ignore")[: max({*ids.values()} - {255})])
    void = [note for note in notes if note.endswith("is no class: its pixels are ignored (255)")]
    assert bool(void) == any(id_ == 255 != number for number, id_ in ids.items())
    if 0 not in ids:
        with user_error(r"has id 0, which is not a class of .*classes\.txt, where .* is not 0: name it first"):
            read_mask(mask(tmp_path / "a.png", VALUES), listed)


@pytest.mark.parametrize(
    "text",
    [
        "road,1 / tree,2", "0,background / 1,road",
        "road: 1 / tree: 2", "0) road / 1) tree", "0. road / 1. tree", "0 - background / 1 - road", "- road / - tree",
        '"road" / "tree"', "# mine / road / tree",
        "0 0 0 sky / 1 64 0 road", "names: / road", "name,id / road,1",
        "background / 1 road / 2 tree", "2 names / road / tree", "road;1", "road=1", "['road']", "road\t1",
        "狗，1 / 猫，2", "0_sky / 1_road", "background 0 / dog 1 / cat 2", "0 / 1 / 2", "dog 1",
    ],
)  # fmt: skip
def test_lines_that_may_be_more_than_names(tmp_path, text):
    path = listing(tmp_path, text)
    for read in (lambda: find_class_list(tmp_path), lambda: parse_classes(str(path))):
        with user_error(r"classes\.txt: .* may be more than a name; write names alone.*; or write `id name` in every"):
            read()


@pytest.mark.parametrize(
    "text",
    [
        "background / crop 2019", "lane 1 / lane 2 / road", "truck / truck 2", "crop (2019)",
        "18-wheeler / car", "bow_(weapon) / cap_(headwear)", "Queen Anne's lace", "狗 / 猫 / กา / é", "class1 / class2",
        "C-3PO / R2-D2", "T-72 / F-16",
        "0 background / 1 lane, left / 2 C#", "1 Boeing 737 / 2 Airbus 320", "3D model / a.b / c & d", "dog / cat / ",
    ],
)  # fmt: skip
def test_lines_that_are_names(tmp_path, text):
    names = [re.sub(r"^\d+ (?=\D)", "", line) for line in text.split(" / ")]
    found = parse_classes(str(listing(tmp_path, text)))
    assert [*found] == [name for name in names if name not in ("", "background")]


def test_an_empty_line_between_names_is_refused(tmp_path):
    for text in ("dog /  / cat", " / dog"):
        with user_error(r"classes\.txt: has an empty line between names"):
            parse_classes(str(listing(tmp_path, text)))
    assert find_class_list(listing(tmp_path, "1 dog /  / 2 cat").parent).classes == ("dog", "cat")


def test_colours_of_camvid_list(tmp_path):
    listing(tmp_path, "0 0 0 void / 64 128 64\ttraffic light / # no row / 192 0 128 car", "label_colors.txt")
    listed = find_class_list(tmp_path)
    assert listed.classes == ("traffic light", "car")
    assert [listed.colour_ids[number] for number in (0, 0x408040, 0xC00080)] == [255, 1, 2]
    with user_error(r"label_colors\.txt, line 2: needs a name and a colour"):
        find_class_list(listing(tmp_path, "0 0 0 void / 1 2 car", "label_colors.txt").parent)


def test_a_class_named_like_the_background_is_refused():
    with user_error("classes: id 2 is called 'Background', but the background is 0"):
        named_classes(("dog", "Background"))


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Background:0,215,255:: / Bone:255,0,204:: / background:000,00,0::", "background"),
        ("Bone:0,215,255:: / Bone:255,0,204::", "Bone"),
        ("Bone:0,215,255:: / Bone :255,0,204::", "Bone"),
    ],
)
def test_several_lines_of_one_class_are_told(tmp_path, text, said):
    notes = []
    listed = find_class_list(listing(tmp_path, text, "labelmap.txt").parent, note=notes.append)
    assert listed.classes == ("Bone",)
    assert [note.rpartition(" become ")[2] for note in notes] == [f"one class: {said}"]
