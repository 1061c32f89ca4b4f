"""Classes get other names, are joined and removed, in rows, label maps, objects and soft masks alike."""

import numpy as np
import pytest
from command_line import runner
from items import item, rows_of
from PIL import Image

from seediff import Dataset
from seediff.cli.quality import filter_
from seediff.cli.sets import merge, split
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.renames import read_renames
from seediff.dataset.reviews import RENAME, Action, append_action
from seediff.dataset.shapes.objects import Objects
from seediff.errors import UserError
from seediff.rows.row import LISTED, Listed

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
    one, two, three = rows_of(new)
    assert (one["classes"], one["class_ids"], one["area"]) == (["Car"], [2], {"Car": 0.6})
    assert (one["confidence"], one["flags"], one["instances"]) == ({"Car": 0.25}, ["small:Car"], [2, 2])
    assert (two["classes"], two["confidence"]) == (["coach"], {"coach": 0.75})
    assert (three["asked"], three["presence"], three["flags"]) == (["dog"], {"dog": 0.75}, [])  # dog2 is removed
    assert (two["review"], three["classes"]) == ({"verdict": "accepted", "by": "ann"}, ["dog"])
    assert {finding.kind for finding in check_dataset(new).findings} == {"duplicate"}  # all pictures are equal


def test_soft_masks_are_of_all_samples_or_of_none(tmp_path):
    Image.new("L", (4, 2)).save(tmp_path / "soft.png")
    samples = []
    for name, ids in (("a", (1, 2)), ("b", (1,))):
        row = {"classes": [CLASSES[number - 1] for number in ids], "class_ids": ids}
        soft = {("soft", number): tmp_path / "soft.png" for number in ids}
        samples.append(item(name, labels(1, ids[-1]), row, (2, 4)).replace(extras=soft))
    Dataset(CLASSES, samples).save(tmp_path / "old")
    joined = Dataset.open(tmp_path / "old").renamed({"dog": "car"})
    joined.save(tmp_path / "new")
    assert joined.left_out[0].startswith("left out: soft/ of 2 samples")
    assert not check_dataset(tmp_path / "new").errors


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


@pytest.mark.parametrize("line", ["merge {old} --out {new}", "filter {old} --out {new}", "split {old} --out {new}"])
def test_files_that_a_rename_leaves_out_are_counted(line, tmp_path, capsys):
    old, new = make(tmp_path / "old"), tmp_path / "new"
    for file in ("attention/000000.safetensors", "steps/000000_2.png", "steps/000001_4.png"):
        (old / file).parent.mkdir(exist_ok=True)
        (old / file).write_bytes(b"of the old names")
    Image.new("RGB", (4, 5), "red").save(old / "images/000001.png")  # equal pictures would stay in one part
    append_action(old, Action(version=1, action=RENAME, detail={"class": "bus", "name": "coach"}))
    run(line.format(old=old, new=new))
    assert "note: left out: attention/ of 1 sample, steps/ of 2 samples; they fit only" in capsys.readouterr().out


def test_joined_classes_have_the_worse_score_of_the_two(tmp_path, monkeypatch):
    monkeypatch.setitem(LISTED, "confidence", Listed("", "", worst=1, best=0))  # as if a high one were bad
    make(tmp_path / "old")
    run(f"merge {tmp_path}/old --rename car=Car --out {tmp_path}/new")
    assert rows_of(tmp_path / "new")[0]["confidence"] == {"Car": 0.5}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bus=", '"bus" is in 1 mask'),
        ("buss=coach", "did you mean 'bus'"),
        ("bus", '"bus" gives no new name'),
        ("bus=coach bus=tram", 'renames "bus" twice'),
    ],
)
def test_refused(tmp_path, words, said):
    data = Dataset.open(make(tmp_path / "old"))
    with pytest.raises(UserError, match=said):
        data.renamed(read_renames(words.split(), data.classes))


def test_a_name_that_is_no_class_is_refused(tmp_path):
    with pytest.raises(UserError, match="did you mean 'bus'"):
        Dataset.open(make(tmp_path / "old")).renamed({"buss": "coach"})


def test_a_label_map_of_a_removed_class_is_refused_even_if_its_row_is_silent(tmp_path):
    data = Dataset(("dog", "cat"), [item("a", labels(2, 0), {}, (2, 4))])
    with pytest.raises(UserError, match="shows a class that is to be removed"):
        data.renamed({"cat": ""}).save(tmp_path / "new")
