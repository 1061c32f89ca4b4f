"""Classes get other names, are joined and removed, in rows, label maps, objects and soft masks alike."""

import numpy as np
import pytest
from command_line import runner
from items import item, rows_of
from PIL import Image

from seediff import Dataset
from seediff.cli.sets import filter_, merge, split
from seediff.dataset.check import check_dataset
from seediff.dataset.merge import read_renames
from seediff.dataset.shapes.objects import Objects
from seediff.errors import UserError

run = runner(merge, filter_, split)
CLASSES = ("dog", "car", "Car", "bus", "dog2")


def labels(*ids):
    return np.repeat(np.array(ids, np.uint8), 4).reshape(len(ids), 4)


def make(folder):
    """Three samples: car and Car and ignored pixels; bus; dog. The second has a review of a person."""
    scores = {"car": 0.5, "Car": 0.25, "bus": 0.75, "dog": 1.0}

    def row(*names, **more):
        of = {name: scores[name] for name in names}
        return {"classes": names, "class_ids": [CLASSES.index(name) + 1 for name in names], "confidence": of, **more}

    first = item("000000", labels(2, 2, 3, 255, 0), row("car", "Car", flags=["small:car", "small:Car"]), (5, 4))
    judged = {"asked": ["dog", "dog2"], "presence": {"dog": 0.75, "dog2": 0.25}, "flags": ["missing:dog2"]}
    objects = Objects((first.label_map % 255).astype(np.int32), (0, 2, 3)).visible()
    Dataset(
        CLASSES,
        [
            first.replace(instances=objects),
            item("000001", labels(4, 0, 0, 0, 0), row("bus", review={"verdict": "accepted", "by": "ann"}), (5, 4)),
            item("000002", labels(1, 1, 0, 0, 0), row("dog", **judged), (5, 4)),
        ],
    ).save(folder)
    return folder


def test_classes_are_renamed_joined_and_removed(tmp_path):
    new = tmp_path / "new"
    run(f"merge {make(tmp_path / 'old')} --rename car=Car --rename dog2= --rename bus=coach --out {new}")
    opened = Dataset.open(new)
    assert opened.classes == ("dog", "Car", "coach")
    assert [sample.label_map[:, 0].tolist() for sample in opened] == [
        [2, 2, 2, 255, 0],
        [3, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
    ]
    joined = Dataset.open(tmp_path / "old").renamed({"car": "Car"})
    assert joined[0].metadata["area"] == pytest.approx({"Car": 0.6})
    one, two, three = rows_of(new)
    assert (one["classes"], one["class_ids"], one["area"]) == (["Car"], [2], {"Car": 0.6})
    assert (one["confidence"], one["flags"], one["instances"]) == ({"Car": 0.25}, ["small:Car"], [2, 2])
    assert (two["classes"], two["confidence"]) == (["coach"], {"coach": 0.75})
    assert (three["asked"], three["presence"], three["flags"]) == (["dog"], {"dog": 0.75}, [])  # dog2 is removed
    assert (two["review"], three["classes"]) == ({"verdict": "accepted", "by": "ann"}, ["dog"])
    assert {finding.kind for finding in check_dataset(new).findings} == {"duplicate"}  # all pictures are equal


def test_a_class_that_rows_name_without_a_pixel_is_removed(tmp_path):
    """`generate` names what it was to draw, even if the mask is empty."""
    row = {"classes": ["car", "dog"], "class_ids": [2, 1]}
    soft = {("soft", number): tmp_path / f"{number}.png" for number in (1, 2)}
    for path in soft.values():
        Image.new("L", (4, 2)).save(path)
    drawn = item("a", labels(1, 0), row, (2, 4)).replace(extras=soft)
    objects = Objects((drawn.label_map == 1).astype(np.int32), (1, 2))  # of the dog, and of no pixel
    Dataset(CLASSES, [drawn.replace(instances=objects)]).save(tmp_path / "old")
    Dataset.open(tmp_path / "old").renamed({"car": ""}).save(tmp_path / "new")
    (new,) = Dataset.open(tmp_path / "new")
    assert (new.row.classes, new.row.class_ids, new.row.area) == (("dog",), (1,), {"dog": 0.5})
    assert (new.instances.class_ids, new.soft.shape) == ((1,), (1, 2, 4))


@pytest.mark.parametrize(("name", "pixels"), [("background", 0), ("Ignore", 255), ("void", 255)])
def test_a_class_leaves(tmp_path, name, pixels):
    """Its pixels, objects, soft mask and all that rows say of it; what is left of a sample stays, even if it is only
    the background."""
    old, new = make(tmp_path / "old"), tmp_path / "new"
    (old / "soft").mkdir()
    for class_id in (2, 3):
        Image.new("L", (4, 5), class_id).save(old / f"soft/000000_{class_id}.png")
    run(f"filter {old} --drop-flags missing --rename car={name} --rename bus={name} --out {new}")
    opened = Dataset.open(new)
    assert opened.classes == ("dog", "Car", "dog2")
    first, second = opened
    assert first.label_map[:, 0].tolist() == [pixels, pixels, 2, 255, 0]
    assert second.label_map[:, 0].tolist() == [pixels, 0, 0, 0, 0]
    assert first.instances.class_ids == ((255, 2) if pixels else (2,))
    assert (first.row.classes, first.row.class_ids, first.row.area) == (("Car",), (2,), {"Car": 0.2})
    assert (first.row.confidence, first.row.flags, [*first.extras]) == ({"Car": 0.25}, ("small:Car",), [("soft", 2)])
    assert (second.row.classes, second.row.area, second.row.confidence) == ((), {}, {})
    assert first.soft_level(2)[0, 0] == 3
    assert check_dataset(new).errors == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("buss=coach", "did you mean 'bus'"),
        ("bus", '"bus" names no class'),
    ],
)
def test_refused(tmp_path, words, said):
    data = Dataset.open(make(tmp_path / "old"))
    with pytest.raises(UserError, match=said):
        data.renamed(read_renames(words.split(), data.classes))


def test_a_label_map_of_a_removed_class_is_refused_even_if_its_row_is_silent(tmp_path):
    data = Dataset(("dog", "cat"), [item("a", labels(2, 0), {}, (2, 4))])
    with pytest.raises(UserError, match="shows a class that is to be removed"):
        data.renamed({"cat": ""}).save(tmp_path / "new")


def test_what_was_said_of_the_files_stays(tmp_path):
    make(tmp_path / "old")
    Dataset.open(tmp_path / "old").export("masks", tmp_path / "masks")
    data = Dataset.open(tmp_path / "masks")
    new = data.renamed({"bus": "hound"})
    assert new.reading.lines() == [line.replace("bus", "hound") for line in data.reading.lines()]
    assert (new.ids, new.about) == (data.ids, data.about)
