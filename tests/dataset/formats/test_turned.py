import numpy as np
import pytest
from formats import EVERY, LOSSY, export
from items import item, noise_pixels
from PIL import Image, ImageOps
from refusals import user_error
from scipy.ndimage import label

from seediff import Sample
from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.format_table import FORMATS
from seediff.dataset.shapes.objects import Objects

CLASSES = ("cat", "dog")


def turned(path):
    """A JPEG file with EXIF orientation 6: as it is stored 20 × 30, turned 30 × 20."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = noise_pixels(20, 30, seed=1)
    Image.fromarray(pixels).save(path, exif=exif)
    labels = np.zeros((20, 30), np.uint8)
    labels[2:12, 3:20] = 1
    return Sample(path, labels, row={"classes": ["cat"]}, name="turned")


SIDES, SQUARE = (20, 30), (24, 24)
PIECES = ((np.s_[2:12, 3:20], 1), (np.s_[14:17, 5:8], 2), (np.s_[14:16, 12:21], 1))
"""Place and class."""
WITH_OBJECTS = [name for name in EVERY if FORMATS[name].objects]
OF_OBJECTS = {"coco": "annotations/instances.json"}
"""The file of an export that has the objects, where it is not the one that is read of the folder."""


def frames(folder, name, turn, size, *, shown, file="", **options):
    """A set whose labels are of a picture as it is shown, by EXIF orientation `turn`, or as it is stored: the label map
    as it is stored, what is read, and the notes. file: that is read. options: of the export."""
    labels = np.zeros(size, np.uint8)
    for place, class_id in PIECES:
        labels[place] = class_id
    drawn = labels
    if shown:
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(labels).save(folder / "labels.png", exif=exif)
        with Image.open(folder / "labels.png") as image:
            drawn = np.asarray(ImageOps.exif_transpose(image))
    numbers, count = label(drawn.astype(bool))
    assert count == len(PIECES)
    instances = Objects(numbers, [int(drawn[numbers == number].max()) for number in range(1, count + 1)])
    sample = item("photo", drawn, {}, drawn.shape).replace(instances=instances)
    export(name, CLASSES, [sample], folder / "out", **options)
    (before,) = Dataset.open(folder / "out", name).samples
    image = before.picture()
    pixels = noise_pixels(*size, seed=1)
    tagged = Image.Exif()
    tagged[0x0112] = turn
    Image.fromarray(pixels).save(image, exif=tagged)
    read = Dataset.open(folder / "out" / file, name)
    return labels, read.samples, read.notes


@pytest.mark.parametrize(("name", "turn"), [*((name, 6) for name in EVERY), *(("cvat", turn) for turn in (5, 7, 8))])
def test_labels_of_the_turned_image_are_turned_back(tmp_path, name, turn):
    labels, (sample,), notes = frames(tmp_path, name, turn, SIDES, shown=True)
    assert np.array_equal(sample.labels(2), labels)
    assert notes[-1].startswith("1 image with an EXIF orientation: written as stored")


@pytest.mark.parametrize("name", [name for name in WITH_OBJECTS if name not in LOSSY])
def test_objects_are_turned_back_with_their_labels(tmp_path, name):
    options = {} if FORMATS[name].objects else {"objects": True}
    file = OF_OBJECTS.get(name, "")
    labels, (sample,), notes = frames(tmp_path, name, 6, SIDES, shown=True, file=file, **options)
    assert np.array_equal(sample.labels(2), labels)
    found = [(i, sample.instances.numbers == n) for n, i in enumerate(sample.instances.class_ids, 1)]
    for place, class_id in PIECES:
        inside = np.zeros(SIDES, bool)
        inside[place] = True
        assert any(class_id == other and np.array_equal(inside, pixels) for other, pixels in found)
    assert len(found) == len(PIECES)
    assert notes[-1].startswith("1 image with an EXIF orientation")  # counted once, though two things are read of it


@pytest.mark.parametrize("name", [name for name in EVERY if name not in LOSSY])
def test_labels_of_the_stored_image_stay(tmp_path, name):
    labels, (sample,), _ = frames(tmp_path, name, 6, SIDES, shown=False)
    assert np.array_equal(sample.labels(2), labels)


@pytest.mark.parametrize(("turn", "size"), [(2, SIDES), (3, SIDES), (4, SIDES), (6, SQUARE)])
@pytest.mark.parametrize("name", [name for name in EVERY if name != "masks"])
def test_where_sizes_say_nothing_the_tool_decides(tmp_path, name, turn, size):
    labels, (sample,), _ = frames(tmp_path, name, turn, size, shown=True)
    if FORMATS[name].shown or name == "masks":  # the export's YAML file is Ultralytics', which turns pictures
        assert np.array_equal(sample.labels(2), labels)
    else:
        with user_error(f"photo.png: has the EXIF orientation {turn}, and it is unclear whether"):
            sample.labels(2)
