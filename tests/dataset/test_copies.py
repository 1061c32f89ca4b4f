"""Copies of a picture are found, however they were saved; unlike and plain pictures are none."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from items import noise_pixels
from PIL import Image

from seediff.dataset.check import check_dataset
from seediff.dataset.copies import brightness_steps, near_pairs
from seediff.dataset.dataset import Dataset
from seediff.dataset.sample import Sample
from seediff.dataset.split import set_splits
from seediff.mini import load_scenes

SCENES = [scene.image for scene in load_scenes(12)]
STEPS = [*map(brightness_steps, SCENES)]


def saved(image, kind, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def resized(image, size):
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


CHANGES = st.one_of(
    st.integers(50, 95).map(lambda quality: lambda image: saved(image, "JPEG", quality)),
    st.integers(60, 95).map(lambda quality: lambda image: saved(image, "WEBP", quality)),
    st.tuples(st.integers(64, 192), st.integers(64, 192)).map(lambda size: lambda image: resized(image, size)),
    st.floats(0.7, 1.1).map(lambda factor: lambda image: np.clip(image * factor, 0, 255).astype(np.uint8)),
)


def pairs(*images):
    return near_pairs([*map(brightness_steps, images)]).tolist()


@given(st.sampled_from(range(len(SCENES))), CHANGES, st.booleans())
def test_a_copy_is_found_and_no_other_picture(number, change, mirrored):
    copy = change(SCENES[number])
    copy = np.ascontiguousarray(copy[:, ::-1]) if mirrored else copy
    assert near_pairs([*STEPS, brightness_steps(copy)]).tolist() == [[number, len(SCENES)]]


def test_plain_pictures_are_near_to_none():
    plain = [np.full((64, 64, 3), level, np.uint8) for level in (0, 0, 255)]
    grainy = noise_pixels(2, 512, 512) // 16
    assert pairs(*plain, *grainy, grainy[0]) == []
    assert pairs() == []


def made(images, name=""):
    labels = np.ones((128, 128), np.uint8)
    return [Sample(image, labels, name=f"{name}{number:03d}") for number, image in enumerate(images)]


def test_copies_are_named_by_check_and_kept_together_by_split(tmp_path):
    copies = [saved(image, "JPEG", 80)[:, ::-1] for image in SCENES[:7]]
    data = Dataset(("dog",), [*made(SCENES), *made(copies, "copy-")])
    train, val = data.split(val=0.3)
    assert train.notes == ("14 of 19 images are copies, or made of one image: those of an image are in one part",)
    parts = {one.name: one.row.split for part in (train, val) for one in part}
    assert all(parts[f"{number:03d}"] == parts[f"copy-{number:03d}"] for number in range(7))
    data.save(tmp_path / "set")
    by_hand = {name: "val" if name == "copy-003" else "train" for name in parts}
    set_splits(tmp_path / "set", by_hand)
    found = [one for one in check_dataset(tmp_path / "set").findings if one.kind == "near"]
    assert len(found) == 6
    assert found[0].text == "looks the same as images/copy-003.png in 'train' and 'val': scores on them are too high"
    assert found[-1].text == "in all, 14 images look the same as another"
    assert Dataset.open(tmp_path / "set").split(val=0.3)[0].notes[0] == (
        "these parts take the place of those that the samples had: train 18, val 1"
    )


@pytest.mark.parametrize("count", [5, 40])
def test_a_series_of_a_fixed_camera_can_be_split(count):
    rng = np.random.default_rng(0)
    series = [SCENES[0] // 4 * 3 + rng.integers(0, 16, SCENES[0].shape, np.uint8) for _ in range(count)]
    samples = made(series)
    train, val = Dataset(("dog",), samples).split(val=0.2)
    assert (len(train), len(val)) == (count * 4 // 5, count // 5)
    assert "--by keeps recordings together" in train.notes[-1]
    again = Dataset(("dog",), samples[::-1]).split(val=0.2)[1]
    assert {one.name for one in again} == {one.name for one in val}
