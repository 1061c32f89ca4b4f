import numpy as np
import pytest
from formats import EVERY, LOSSY, export
from items import item, noise_pixels
from layouts import save
from PIL import Image, ImageOps
from refusals import user_error
from scipy.ndimage import label

from seediff import Sample
from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.format_table import FORMATS
from seediff.dataset.shapes.objects import Objects
from seediff.dataset.shapes.polygons import object_polygons

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
    as it is stored, what is read, and what says what was counted. file: that is read. options: of the export."""
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
    read = Dataset.open(folder / "out" / file, name).watched()
    return labels, read.samples, lambda: read.reading.left_out


@pytest.mark.parametrize(("name", "turn"), [*((name, 6) for name in EVERY), *(("cvat", turn) for turn in (5, 7, 8))])
def test_labels_of_the_turned_image_are_turned_back(tmp_path, name, turn):
    labels, (sample,), notes = frames(tmp_path, name, turn, SIDES, shown=True)
    assert np.array_equal(sample.labels(2), labels)
    assert notes()[-1].endswith("with labels of the turned image turned back (photo)")


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
    assert notes()[-1].startswith("1 image with an EXIF orientation")  # counted once, though two things are read of it


@pytest.mark.parametrize("name", [name for name in EVERY if name not in LOSSY])
def test_labels_of_the_stored_image_stay(tmp_path, name):
    labels, (sample,), notes = frames(tmp_path, name, 6, SIDES, shown=False)
    assert np.array_equal(sample.labels(2), labels)
    assert notes()[-1].endswith("with labels of the stored size, which were not turned (photo)")


@pytest.mark.parametrize("size", [SIDES, SQUARE])
@pytest.mark.parametrize("turn", range(1, 9))
def test_label_studios_coco_stretches_what_was_drawn_on_the_turned_image(tmp_path, turn, size):
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[2:12, 4:10], pixels[10:12, 4:20] = 255, 255
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        shown = np.asarray(ImageOps.exif_transpose(image))[..., 0] > 0
    (polygon,) = object_polygons(Objects(shown.astype(np.int32), [1]))
    corners = np.floor(polygon + 0.7) / shown.shape[::-1] * size[::-1]  # edges of pixels, in the stored sides
    about = {"id": 0, "file_name": "images\\a.png", "height": size[0], "width": size[1]}
    drawn = {"id": 0, "image_id": 0, "category_id": 0, "segmentation": [corners.ravel().tolist()]}
    document = {"images": [about], "categories": [{"id": 0, "name": "dog"}], "annotations": [drawn]}
    save(tmp_path / "result.json", {**document, "info": {"contributor": "Label Studio"}})
    (sample,) = Dataset.open(tmp_path)
    assert np.array_equal(sample.label_map, pixels[..., 0] > 0)


@pytest.mark.parametrize(("turn", "size"), [(2, SIDES), (3, SIDES), (4, SIDES), (6, SQUARE)])
@pytest.mark.parametrize("name", [name for name in EVERY if name != "masks"])
def test_where_sizes_say_nothing_the_tool_decides(tmp_path, name, turn, size):
    labels, (sample,), _ = frames(tmp_path, name, turn, size, shown=True)
    if FORMATS[name].shown or name == "masks":  # the export's YAML file is Ultralytics', which turns pictures
        assert np.array_equal(sample.labels(2), labels)
    else:
        with user_error(f"photo.png: has the EXIF orientation {turn}, and it is unclear whether"):
            sample.labels(2)
