"""Masks for trainers of LoRAs, read with the trainers' own arithmetic."""

import numpy as np
import pytest
from formats import export
from items import item, names
from PIL import Image
from refusals import user_error

from seediff.dataset.encoding import encode_grey
from seediff.dataset.sample import SOFT

CLASSES = ("cat", "dog", "cow")
LABELS = np.array([[0, 1, 1, 255, 2, 2]] * 4, np.uint8)
PROMPT = {"prompt": "a cat and\na dog"}


def red(path):
    """The weights of kohya's sd-scripts and diffusion-pipe: the red channel, of 255."""
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image.convert("RGB"))[0, :, 0] / 255


def grey(path):
    """The weights of ai-toolkit: as grey, of 255."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").convert("L"))[0] / 255


@pytest.mark.parametrize("weights", [red, grey])
@pytest.mark.parametrize(
    ("classes", "expected"),
    [(None, [0, 1, 1, 0, 1, 1]), (("dog",), [0, 0, 0, 0, 1, 1]), (("dog", "cow"), [0, 0, 0, 0, 1, 1])],
)
def test_what_trainers_read(tmp_path, weights, classes, expected):
    given = [item("trip/a.b", LABELS, PROMPT, suffix="jpg")]
    done = export("trainer", CLASSES, given, tmp_path / "out", classes=classes)
    assert names(tmp_path / "out") == ["README.md", "images/trip_a.b.jpg", "images/trip_a.b.txt", "masks/trip_a.b.png"]
    assert (tmp_path / "out/images/trip_a.b.txt").read_text() == "a cat and a dog\n"
    assert weights(tmp_path / "out/masks/trip_a.b.png").tolist() == expected
    assert done.notes[-1].startswith("1 image in JPEG: SimpleTuner finds no mask for it")


def test_soft_masks_beside_the_pictures_and_what_is_noted(tmp_path):
    levels = np.array([[[50, 100, 200, 100, 150, 0]] * 4, [[60, 0, 0, 90, 255, 51]] * 4], np.uint8)
    extras = {(SOFT, number): encode_grey(level) for number, level in enumerate(levels, 1)}
    soft = item("soft", LABELS, PROMPT).replace(extras=extras)
    corrected = soft.replace(name="corrected", row={"split": "val", "review": {"corrected": True}})
    given = [soft, corrected, item("none", LABELS * 0)]
    done = export("trainer", CLASSES, given, tmp_path / "out", soft=True, layout="beside")
    files = ["corrected-masklabel.png", "corrected.png", "soft-masklabel.png", "soft.png", "soft.txt"]
    assert names(tmp_path / "out") == ["README.md", *(f"images/{name}" for name in files)]
    assert (red(tmp_path / "out/images/soft-masklabel.png") * 255).tolist() == [60, 100, 200, 0, 255, 51]
    assert red(tmp_path / "out/images/corrected-masklabel.png").tolist() == [0, 1, 1, 0, 1, 1]
    assert (done.samples, done.splits) == (2, {"train": 1, "val": 1})
    assert done.notes == (
        '1 sample without "cat" or "dog" or "cow": left out',
        "1 sample without soft masks that describe the mask: 0 and 255 alone",
        "1 sample without a prompt, and so without a caption",
        "samples of val are trained, too: `seediff split` makes folders of the parts",
    )


def test_refusals(tmp_path):
    given = [item("a-condlabel", LABELS)]
    for options, line in [
        ({"classes": ("dgo",)}, '^classes: "dgo" is not a class of the set, which has "cat", "dog", "cow"'),
        ({"classes": ("cow",)}, "^classes: no sample shows cow"),
    ]:
        with user_error(line):
            export("trainer", CLASSES, given, tmp_path / "out", **options)
    with user_error("^classes: no sample shows cat, dog, cow"):
        export("cutouts", CLASSES, [item("a", LABELS * 0)], tmp_path / "out")
