import os
from collections import Counter

import numpy as np
import pytest
from command_line import runner
from fake_engine import fake_draw
from interrupted import contents
from items import judged, rows_of
from refusals import user_error

from seediff.cli.sets import augment as augment_command
from seediff.config.runs import GenerateConfig
from seediff.config.sets import AugmentConfig
from seediff.dataset.augmented import AugmentedSamples, open_augmented, write_augmented
from seediff.dataset.check import check_dataset
from seediff.dataset.encoding import encode_image
from seediff.dataset.native import open_native
from seediff.dataset.sample import Sample
from seediff.dataset.writing import save_native
from seediff.files.names import CONFIG
from seediff.run.generate_job import generate

CLASSES = ("dog", "cat", "car")
COUNTED = {"file_name", "mask_file_name", "classes", "class_ids", "area", "recipe", "version"}
"""The keys that are about the new picture."""
ADD = ("splice-2x2:3", "flip:50%", "perspective:2", "boxes:5", "noise:3")

run = runner(augment_command)


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Eight pictures of two sizes, an object each; number 6 is for validation, number 7 in a folder; even ones JPEG."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(8):
        shape = (48, 40) if number % 3 else (40, 56)
        labels = np.zeros(shape, np.uint8)
        labels[8:30, 5 + number : 25 + number] = 1 + number % 3
        labels[31:33] = 255
        image = rng.integers(0, 60, (*shape, 3)) + labels[..., None] % 4 * 50
        row = judged("dog", prompt=f"a photo {number}", model="mini", method="ca", attempt=0, index=number)
        row |= {"split": "val"} if number == 6 else {"split": "train", "review": {"verdict": "accepted"}}
        row |= {"seed": number} if number % 2 else {"presence": {"dog": 1.0}, "asked": ["dog"], "source": "a"}
        suffix = "png" if number % 2 else "jpg"
        data = encode_image(image.astype(np.uint8), suffix)
        items.append(Sample(data, labels, row=row, name="trip/7" if number == 7 else f"{number:06d}"))
    out = tmp_path_factory.mktemp("in") / "pets"
    save_native(out, CLASSES, items, about={})
    return out


def config(**values):
    return AugmentConfig(**{"add": ADD, "seed": 5, **values})


def test_classes_of_one_side_are_not_mirrored(pets):
    _, samples = open_native(pets)
    classes = ("left arm", *CLASSES[1:])
    with user_error('add: flip: the other side of "left arm" is no class; leave flip out'):
        AugmentedSamples(config(add=("noise:1", "flip:1")), classes, samples)
    assert AugmentedSamples(config(add=("noise:1",)), classes, samples).new


@pytest.fixture(scope="module")
def made(pets, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "more"
    write_augmented(open_augmented(config(), pets), out)
    return out


def test_a_sound_dataset_with_the_originals_in_it(made, pets):
    assert check_dataset(made).errors == 0
    before, after = contents(pets), contents(made)
    rows, new = rows_of(made)[:8], rows_of(made)[8:]
    assert rows == rows_of(pets)
    assert all(
        after[name] == data for name, data in before.items() if name.startswith(("images/", "masks/", "classes"))
    )
    assert [row["file_name"][:-4] for row in new] == [f"images/augmented-{i:06d}" for i in range(17)]
    assert {*after} - {*before} == {"seediff.toml", "augmentations.jpg"} | {
        row[kind] for row in new for kind in ("file_name", "mask_file_name")
    }
    assert b'id="augmentations"' in after["preview.html"]
    assert "| originals | 8 |" in after["README.md"].decode()


def test_every_recipe_is_in_its_row(made, pets):
    rows = [row for row in rows_of(made) if "recipe" in row]
    (steps,) = zip(*(row["recipe"]["steps"] for row in rows), strict=True)
    counts = Counter(step["operation"] for step in steps)
    assert counts == dict(zip([text.split(":")[0] for text in ADD], (3, 4, 2, 5, 3), strict=True))
    training = {item.name for item in open_native(pets)[1]} - {"000006"}
    for row, step in zip(rows, steps, strict=True):
        sources = {row["recipe"]["source"], *step.get("sources", ())}
        spliced = "splice" in step["operation"]
        assert sources <= training
        assert len(sources) == (4 if spliced else 1)
        drawn = int(row["recipe"]["source"][-1]) % 2 == 1
        kept = {"split": True, "prompt": not spliced, "model": drawn}
        assert row.keys() - COUNTED == {key for key, stays in kept.items() if stays}
    assert len({row["recipe"]["seed"] for row in rows}) == len(rows)


@pytest.mark.parametrize(("checked", "kept"), [((), {"ca"}), ((0,), {"ca"}), ((0, 1, 2, 3), {None})])
def test_a_picture_with_a_part_that_nobody_has_checked_is_not_checked(pets, checked, kept):
    _, samples = open_native(pets)
    four = [sample.replace(row=sample.row.replace(review=None)) for sample in samples[:4]]
    for number in checked:
        four[number] = samples[number]
    spliced = AugmentedSamples(config(add=("splice-2x2:4",)), CLASSES, four)
    assert {spliced.make(new).metadata.get("method") for new in spliced.new} == kept


def test_a_set_without_samples_for_training(pets):
    with user_error("the dataset has no samples to augment: only those for training"):
        AugmentedSamples(config(), CLASSES, open_native(pets)[1][6:7])


def test_other_workers_and_links_the_same_bytes(made, pets, tmp_path):
    write_augmented(open_augmented(config(), pets), tmp_path / "out", workers=2, link=True)
    assert contents(tmp_path / "out") == contents(made)
    assert os.path.samefile(tmp_path / "out/images/trip/7.png", pets / "images/trip/7.png")
    assert not os.path.samefile(tmp_path / "out/masks/trip/7.png", pets / "masks/trip/7.png")


def test_where_masks_came_from_travels_and_what_only_originals_have_stays_behind(tmp_path):
    generate(GenerateConfig(classes=("dog",), per_class=2, keep_soft=True), tmp_path / "pets", draw=fake_draw)
    write_augmented(open_augmented(config(add=("flip:1",)), tmp_path / "pets"), tmp_path / "more")
    first, _, new = rows_of(tmp_path / "more")
    assert (tmp_path / "more" / first["made"]).read_bytes() == (tmp_path / "pets" / CONFIG).read_bytes()
    assert "made" not in new
    assert not (tmp_path / "more/soft").exists()
    assert check_dataset(tmp_path / "more").errors == 0


def test_the_command(pets, made, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("augment", pets, "--seed", 5, "--add", ",".join(ADD[:3]), "--add", ",".join(ADD[3:]))
    run(*words, "--out", out)
    said = capsys.readouterr().out
    assert "8 originals and 17 new samples" in said
    assert " --out segmenter" in said
    assert contents(out) == contents(made)
    with user_error("already exists and is not empty"):
        run(*words, "--out", out)
