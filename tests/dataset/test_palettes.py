import numpy as np
import pytest
from layouts import save, save_image, save_map
from PIL import Image
from refusals import user_error

from seediff.dataset.class_lists import ClassList, find_list, named_classes
from seediff.dataset.dataset import Dataset
from seediff.dataset.palettes import with_palettes
from seediff.dataset.stored_masks import read_mask, with_single
from seediff.evaluate.evaluation import evaluate
from seediff.files.label_maps import voc_palette

COLOURS = {"K": (0, 0, 0), "R": (128, 0, 0), "G": (0, 128, 0), "W": (255, 255, 255)}  # VOC's 0, 1 and 2, and white
COLOURS |= {"P": (255, 0, 255), "B": (224, 224, 192), "L": (0, 255, 0)}  # pink, VOC's border and lime: no class's
BLACK, RED, GREEN, PINK = (COLOURS[letter] for letter in "KRGP")


def save_palette(path, row, palette):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array([row], np.uint8), "P")
    image.putpalette([part for colour in palette for part in colour])
    image.save(path)
    return path


def colours(text):
    """The colours of a palette: letters of COLOURS or greys, and before a * how many there are."""
    found = []
    for count, _, name in (word.rpartition("*") for word in text.split()):
        found += [COLOURS.get(name) or (int(name),) * 3] * int(count or 1)
    return found


def read_set(folder, masks, classes):
    """The ids of masks, each written as `indices: palette`."""
    given = [mask.split(":") for mask in masks.split(", ")]
    paths = [
        save_palette(folder / f"{number}.png", [*map(int, row.split())], colours(palette))
        for number, (row, palette) in enumerate(given)
    ]
    class_list = with_palettes(classes if isinstance(classes, ClassList) else named_classes(classes), paths)
    return ", ".join(" ".join(map(str, read_mask(path, class_list)[0])) for path in paths)


ONE, TWO, THREE = ("dog",), ("dog", "cat"), ("dog", "cat", "cow")


@pytest.mark.parametrize(
    ("masks", "classes", "ids"),
    [
        # One reading for all masks: a colour that is no class's in any of them leaves the indices.
        ("0 1 2: K G R P, 0 3: K G R P", THREE, "0 1 2, 0 3"),
        # An index that is no class's in any of them leaves the colours.
        ("0 1 2: K G R, 0 4: K G R P B", TWO, "0 2 1, 0 255"),
        ("2 0 1: 0 1 255", ONE, "255 0 1"),
        # Black and white say no more than the indices; other greys, repeated colours and unused entries say nothing.
        ("0 1: K W", TWO, "0 1"),
        ("0 1 2: 0 127 255", TWO, "0 1 2"),
        ("0 1: 4*K", ONE, "0 1"),
        ("0 1: K R P, 0 1 1: K R G", TWO, "0 1, 0 1 1"),
        ("0 255: 255*K W, 0 255: 255*K B", ONE, "0 255, 0 255"),
    ],
)
def test_the_reading_that_fits_all_masks(tmp_path, masks, classes, ids):
    assert read_set(tmp_path, masks, classes) == ids


@pytest.mark.parametrize(
    ("masks", "classes", "problem"),
    [
        ("0 1 2: K G R", TWO, '0.png: index 1 .* means "dog", and its colour "cat": either'),
        ("0 1: K R, 0 2: K P R", TWO, '1.png: index 2 .* "cat", and its colour "dog"'),
        ("0 1 2: 2 0 1", TWO, 'index 0 of its palette means the background, and its colour "cat"'),
        ("0 1 2: 0 1 255", TWO, 'index 2 of its palette means "cat", and its colour ignored'),
        ("0 1: W K", ONE, "index 0 of its palette means the background, and its colour ignored"),
        ("0 1: 0 1, 0 1: 0 255", ONE, 'means "dog", and its colour ignored'),
        ("0 1: K P, 0 1: K L", TWO, "0.png: index 1 .* another colour than"),
        ("0: P, 0 1: K R", ONE, "index 0 of its palette has another colour than in"),
    ],
)
def test_palettes_that_may_mean_two_things_are_refused(tmp_path, masks, classes, problem):
    with user_error(f"{problem}.*; a labelmap.txt beside the masks says .*; grey PNG files hold ids"):
        read_set(tmp_path, masks, classes)


def test_a_list_of_colours_says_which_is_meant(tmp_path):
    save(tmp_path / "labelmap.txt", "cat:0,128,0::\ndog:255,0,255::\n")
    assert read_set(tmp_path, "0 1: K P, 0 1: K G", find_list(tmp_path)) == "0 2, 0 1"


def test_palettes_whose_readings_agree_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("seediff.dataset.palettes.stored_pixels", None)
    paths = [save_map(tmp_path / f"{number}.png", [[0, 1, 255]]) for number in range(2)]
    voc = np.reshape(voc_palette(), (-1, 3)).tolist()
    paths.append(save_palette(tmp_path / "short.png", [0, 1], voc[:2]))
    paths.append(save_palette(tmp_path / "other.png", [0, 1], [*voc[:3], PINK]))
    assert with_palettes(named_classes(TWO), paths).palettes == "indices"


def test_white_is_the_only_class_in_a_palette_of_greys(tmp_path):
    notes = []
    path = save_palette(tmp_path / "a.png", [0, 255], [(grey,) * 3 for grey in range(256)])
    assert read_mask(path, with_single(named_classes(ONE), [path], notes.append)).tolist() == [[0, 1]]
    assert notes == ["the only values in the masks are 0 and 255: 255 is 'dog', and nothing is ignored"]


@pytest.mark.parametrize(
    ("listed", "row", "ids"),
    [
        ("dog:255,255,255 cat:255,0,0", [0, 255], [0, 1]),  # white is never ignored if it is a class
        ("dog:255,255,255 cat:255,0,0", [0, 1, 2], [0, 1, 2]),  # greys that are not listed are numbers
        ("dog:255,255,255 cat:255,0,0", [1, 255], '255 is "dog" as a colour of .*, and ignored as a number'),
        ("dog:7,7,7 cat:9,9,9", [0, 7, 9], [0, 1, 2]),
        ("dog:2,2,2 cat:1,1,1", [0, 1, 2], '1 is "cat" as a colour of .*, and "dog" as a number; save it in colours'),
        ("dog:1,1,1 cat:2,2,2", [0, 1, 2, 255], [0, 1, 2, 255]),
        ("void:255,255,255 cat:0,255,0", [0, 255], [0, 255]),
    ],
)  # fmt: skip
def test_greys_beside_a_list_of_colours(tmp_path, listed, row, ids):
    save(tmp_path / "labelmap.txt", "\n".join(["background:0,0,0", *listed.split()]))
    path, class_list = save_map(tmp_path / "a.png", [row], palette=False), find_list(tmp_path)
    if isinstance(ids, str):
        with user_error(ids):
            read_mask(path, class_list)
    else:
        assert read_mask(path, class_list)[0].tolist() == ids


@pytest.mark.parametrize("layout", ["masks", "voc", "predictions", "yaml"])
def test_all_that_reads_masks_decides_for_a_set(tmp_path, layout):
    images, masks = {"voc": ("JPEGImages", "SegmentationClass")}.get(layout, ("images/train", "masks/train"))
    for number, row in enumerate(([0, 1, 2], [0, 1, 3])):
        save_image(tmp_path / images / f"{number}.jpg", (1, 3))
        save_palette(tmp_path / masks / f"{number}.png", row, [BLACK, GREEN, RED, PINK])
    save(tmp_path / "classes.txt", "dog\ncat\ncow\n")
    if layout == "yaml":
        save(tmp_path / "data.yaml", "train: images/train\nmasks_dir: masks\nnames: [background, dog, cat, cow]\n")
    found = Dataset.open(tmp_path)
    assert [sample.label_map[0].tolist() for sample in found] == [[0, 1, 2], [0, 1, 3]]
    if layout == "predictions":
        predictions = tmp_path / "masks" / "train"
        assert evaluate(predictions, found, classes=THREE, draws=2).scores.miou.value == 1
    save_palette(tmp_path / masks / "1.png", [0, 1, 2], [BLACK, GREEN, RED, PINK])
    with user_error('index 1 of its palette means "dog", and its colour "cat"'):
        if layout == "predictions":
            evaluate(predictions, found, classes=THREE)
        else:
            Dataset.open(tmp_path)
