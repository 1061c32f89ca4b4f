import re
from pathlib import Path

import numpy as np
import pytest
from items import edit_row, write_pets
from PIL import Image
from refusals import user_error
from safetensors.numpy import save_file

from seediff.dataset.check import check_dataset
from seediff.dataset.encoding import encode_mask
from seediff.dataset.native import open_native

PAGE = Path(__file__).parents[2] / "docs" / "quality.md"
KINDS_ON_PAGE = {
    (level, kind)
    for names, levels in re.findall(
        r"^\| (`[^|]+`) \| ((?:error|warning)[^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    for kind in re.findall(r"`(\w+)`", names)
    for level in levels.split(", ")
}


@pytest.fixture
def pets(tmp_path):
    return write_pets(tmp_path / "pets", shape=(24, 32), row=lambda number: {"prompt": "é", "flags": []})


def kinds(folder):
    return [(one.level, one.kind, one.where) for one in check_dataset(folder).findings]


def half_an_image(pets):
    data = (pets / "images/000001.png").read_bytes()
    (pets / "images/000001.png").write_bytes(data[: len(data) // 2])


def a_webp(pets):
    path = pets / "images/000001.png"
    Image.open(path).save(path, "WEBP", lossless=True)


def unknown_id(pets):
    (pets / "masks/000001.png").write_bytes(encode_mask(np.full((24, 32), 7, np.uint8)))


def linked(pets):
    (pets / "masks/000001.png").rename(pets.parent / "outside.png")
    (pets / "masks/000001.png").symlink_to(pets.parent / "outside.png")


def hidden_name(pets):
    (pets / "images/000001.png").rename(pets / "images/.1.png")
    edit_row(pets, 1, file_name="images/.1.png")


@pytest.mark.parametrize(
    ("spoil", "level", "kind", "where"),
    [
        (lambda p: (p / "metadata.jsonl").unlink(), "error", "structure", "metadata.jsonl"),
        (half_an_image, "error", "image", "images/000001.png"),
        (a_webp, "error", "image", "images/000001.png"),
        (unknown_id, "error", "mask", "masks/000001.png"),
        (lambda p: edit_row(p, 1, file_name=""), "error", "row", "row 2"),
        (lambda p: edit_row(p, 1, area={"cat": 0.5}), "error", "row", "images/000001.png"),
        (lambda p: edit_row(p, 1, split="holdout"), "warning", "row", "row 2"),
        (
            lambda p: (p / "images/000001.png").write_bytes((p / "images/000003.png").read_bytes()),
            "warning",
            "duplicate",
            "images/000001.png",
        ),
    ],
)
def test_what_is_wrong_is_found_and_sound_parts_are_not(pets, spoil, level, kind, where):
    spoil(pets)
    found = kinds(pets)
    assert found[0] == (level, kind, where)
    assert (level, kind) in KINDS_ON_PAGE
    assert {one for _, one, _ in found[1:]} <= {kind}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: edit_row(p, 1, mask_file_name="../../x.png"), "'mask_file_name' leads out"),
        (lambda p: edit_row(p, 1, file_name=3), "`file_name`: must be a text or null, not a whole number"),
        (lambda p: edit_row(p, 1, classes=["bus"]), 'class "bus" is not in classes.txt'),
        (lambda p: edit_row(p, 1, review={"made": {}}), "`review.made`: must be an object of length >= 1"),
        (
            lambda p: edit_row(p, 1, file_name="s3://a/1.png"),
            "'file_name' must be the path of an image inside",
        ),
        (lambda p: edit_row(p, 1, file_name="images/000000.png"), "two samples are called '000000'"),
        (
            lambda p: edit_row(p, 1, class_ids=[1]),
            'says that ["cat"] have the ids [1], but in classes.txt they have [2];',
        ),
        (
            lambda p: edit_row(p, 1, classes=["cat", "dog"]),
            '["cat", "dog"] have the ids [2], but in classes.txt they have [2, 1]',
        ),
        (linked, "'mask_file_name' leads out"),
        (hidden_name, "sample name '.1' cannot be a file name"),
    ],
)
def test_what_a_row_cannot_say_is_found_and_refused_by_all_who_open_the_set(pets, spoil, message):
    spoil(pets)
    assert [(one.kind, one.where) for one in check_dataset(pets).findings if one.level == "error"] == [("row", "row 2")]
    with user_error(f"row 2: .*{re.escape(message)}"):
        open_native(pets)


def test_no_attention_is_expected_of_a_picture_without_a_class(pets):
    (pets / "attention").mkdir()
    for number in (0, 1, 3):
        save_file({"maps": np.zeros(1, np.float32)}, pets / f"attention/{number:06d}.safetensors")
    (pets / "masks/000002.png").write_bytes(encode_mask(np.zeros((24, 32), np.uint8)))
    edit_row(pets, 2, classes=[], class_ids=[], area={})
    assert kinds(pets) == [("warning", "empty", "metadata.jsonl")]
