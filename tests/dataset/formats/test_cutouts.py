import numpy as np
from formats import export
from items import item, names
from PIL import Image
from refusals import user_error

from seediff.dataset.encoding import encode_grey
from seediff.dataset.sample import SOFT

LABELS = np.array([[0, 1, 1, 255, 2, 2]] * 4, np.uint8)


def alpha(path):
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        pixels = np.asarray(image)
    assert np.array_equal(pixels[..., :3], item().image)
    return pixels[0, :, 3].tolist()


def test_soft_masks_are_the_transparency_unless_the_mask_was_replaced(tmp_path):
    level = np.array([[50, 100, 200, 100, 150, 0]] * 4, np.uint8)
    (tmp_path / "soft.png").write_bytes(encode_grey(level))
    row = {"classes": ["cat"], "class_ids": [1]}
    soft = item("trip/soft", LABELS, row).replace(extras={(SOFT, 1): tmp_path / "soft.png"})
    corrected = soft.replace(name="corrected", metadata={**row, "review": {"corrected": True}})
    done = export("cutouts", ("cat", "a/dog"), [soft, corrected, item("none")], tmp_path / "out")
    files = ["a_dog/corrected.png", "a_dog/trip/soft.png", "cat/corrected.png", "cat/trip/soft.png"]
    assert names(tmp_path / "out") == files
    assert (done.samples, done.files) == (3, 4)
    assert done.notes == ("2 samples have no soft masks that describe their masks: their edges are hard",)
    assert alpha(tmp_path / "out/cat/trip/soft.png") == [64, 128, 255, 128, 0, 0]  # not the dog's pixels
    assert alpha(tmp_path / "out/cat/corrected.png") == [0, 255, 255, 0, 0, 0]
    assert alpha(tmp_path / "out/a_dog/trip/soft.png") == [0, 0, 0, 0, 255, 255]


def test_classes_that_would_share_a_folder(tmp_path):
    with user_error("^class 'A_b': would share the folder A_b with 'a:b'; rename one of them"):
        export("cutouts", ("a:b", "A_b"), [item()], tmp_path / "out")
