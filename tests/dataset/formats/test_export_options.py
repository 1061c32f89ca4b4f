from dataclasses import fields
from itertools import chain

import numpy as np
import pytest
from formats import READ, WRITTEN, export, imported
from items import item, names
from PIL import Image
from refusals import user_error

from seediff import Dataset
from seediff.dataset.encoding import encode_grey
from seediff.dataset.formats.format_table import FORMATS, ExportOptions, ImportOptions, formats_with
from seediff.dataset.sample import SOFT, Sample


@pytest.mark.parametrize("name", WRITTEN)
def test_options_that_a_written_format_does_not_have(tmp_path, name):
    with pytest.raises(TypeError, match="layers"):
        Dataset(("dog",), []).export(name, tmp_path / "set", layers=2)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("name", ["native", *READ])
def test_options_that_a_read_format_does_not_have(tmp_path, name):
    with user_error(f"layers: is no option of the format {name}; leave it out"):
        Dataset.open(tmp_path, name, layers=2)


def test_formats_that_do_not_exist(tmp_path):
    for use in (lambda: Dataset.open(tmp_path, "COCO"), lambda: Dataset(("dog",), []).export("COCO", tmp_path / "set")):
        with user_error("format: COCO is none of voc, .*coco"):
            use()


OF_TRUTHS = {"void"}
"""The option with which `evaluate` reads masks, and which the command has not."""


def test_every_option_of_a_format_is_declared_and_every_declared_option_has_a_format():
    for kind, given in (
        (ExportOptions, [one.writes for one in FORMATS.values()]),
        (ImportOptions, [one.reads for one in FORMATS.values()]),
    ):
        declared = [field.name for field in fields(kind)]
        assert {*chain(*given)} - OF_TRUTHS <= {*declared}
        assert all(formats_with(kind, name) for name in declared)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_area": 0}, "^min_area: 0 must be a whole number of at least 1"),
        ({"split": 2}, "^split: 2 must be a number of at least 0 and at most 1"),
        ({"seed": 3}, "^seed: works only with --split"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, options, said):
    with user_error(said):
        export("coco", ("dog",), [], tmp_path / "set", **options)


ESCAPED = "../../../escaped"
SAMPLES = [Sample(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8), name="0")]


@pytest.mark.parametrize("name", WRITTEN)
def test_names_of_classes_lead_out_of_no_folder(name, tmp_path):
    out = tmp_path / "some" / "inner" / "set"
    export(name, (ESCAPED,), SAMPLES, out)
    assert {*tmp_path.rglob("*")} == {out.parent.parent, out.parent, out, *out.rglob("*")}


def test_a_folder_that_is_not_empty_is_refused_before_a_picture_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    unread = Sample(None, None, name="0")  # type: ignore[arg-type]
    with user_error("already exists and is not empty"):
        export("coco", ("dog",), [unread], tmp_path, split=0.5)


LABELS = np.array([[0, 1, 1, 255, 2, 2]] * 4, np.uint8)


def alpha(path):
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        pixels = np.asarray(image)
    assert np.array_equal(pixels[..., :3], item().image)
    return pixels[0, :, 3].tolist()


def test_cutouts_follow_the_mask_or_soft_masks_unless_the_mask_was_replaced(tmp_path):
    level = np.array([[50, 100, 200, 100, 150, 0]] * 4, np.uint8)
    (tmp_path / "soft.png").write_bytes(encode_grey(level))
    row = {"classes": ["cat"], "class_ids": [1]}
    soft = item("trip/soft", LABELS, row).replace(extras={(SOFT, 1): tmp_path / "soft.png"})
    corrected = soft.replace(name="corrected", row={**row, "review": {"corrected": True}})
    given = [soft, corrected, item("none")]
    export("cutouts", ("cat", "a/dog"), given, tmp_path / "masks")
    edge = [42, 212, 212, 42, 0, 0]  # opaque inside, half and half at the mask's edge
    assert alpha(tmp_path / "masks/cat/trip/soft.png") == alpha(tmp_path / "masks/cat/corrected.png") == edge
    done = export("cutouts", ("cat", "a/dog"), given, tmp_path / "out", soft=True)
    files = ["README.md", "a_dog/corrected.png", "a_dog/trip/soft.png", "cat/corrected.png", "cat/trip/soft.png"]
    assert names(tmp_path / "out") == files
    assert (done.samples, done.files) == (2, 5)
    assert done.notes == (
        "1 sample without a class: left out",
        "2 samples without soft masks that describe the mask: cut out along the mask",
    )
    assert alpha(tmp_path / "out/cat/trip/soft.png") == [64, 128, 255, 128, 0, 0]  # not the dog's pixels
    assert alpha(tmp_path / "out/cat/corrected.png") == edge
    assert alpha(tmp_path / "out/a_dog/trip/soft.png") == [0, 0, 0, 42, 212, 255]


def test_splits_of_rows_and_names_with_dots_and_blanks_are_kept(tmp_path):
    given = [item("a.b", row={"split": "val"}), item("x y"), item("é", row={"split": "train"})]
    export("voc", (), given, tmp_path / "voc")
    assert (tmp_path / "voc/ImageSets/Segmentation/val.txt").read_text() == "a.b\n"
    assert (tmp_path / "voc/ImageSets/Segmentation/train.txt").read_text(encoding="utf-8") == "x y\né\n"
    assert [one.name for one in imported("voc", tmp_path / "voc")[1]] == ["a.b", "x y", "é"]
