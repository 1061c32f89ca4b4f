import pickle

import numpy as np
import pytest
from blocks import blocks
from formats import EVERY, LOSSY, READ, WRITTEN, export, imported
from items import item, names
from refusals import user_error

from seediff import Dataset, UserError
from seediff.dataset.formats.format_table import FORMATS
from seediff.dataset.native import open_native

CLASSES = ("dog 1", "lane, left", 'a "cow" & C#')
ROWS = ("coco", "labelstudio")
"""Formats that keep rows of metadata."""


def samples(classes=3):
    """Wide and high by turns."""
    rows = [{"prompt": "p", "split": ("train", "val")[number == 2]} for number in range(4)]
    shapes = ((20, 30), (30, 20)) * 2
    return [
        item(f"trip/{i}", blocks(i, classes, shapes[i]), row, shapes[i], ("png", "jpg")[i % 2])
        for i, row in enumerate(rows)
    ]


def pets(folder=None):
    return Dataset(CLASSES, samples(), path=folder)


@pytest.mark.parametrize("name", EVERY)
def test_every_format_there_and_back(tmp_path, name):
    done = export(name, CLASSES, samples(), tmp_path / "set")
    assert (done.samples, done.files) == (4, len(names(tmp_path / "set")))
    classes, read = imported(name, tmp_path / "set")
    assert classes == CLASSES
    truths = {one.name.replace("/", "_") if FORMATS[name].flat else one.name: one for one in samples()}
    assert sorted(one.name for one in read) == sorted(truths)
    for one in read:
        truth = truths[one.name]
        assert one.data() == truth.data()
        assert name in LOSSY or np.array_equal(one.label_map, truth.label_map)
        split = truth.metadata["split"]
        assert "split" not in FORMATS[name].writes or one.metadata.get("split", "train") == split
        assert name not in ROWS or one.metadata == truth.metadata
    assert Dataset.open(tmp_path / "set").classes == CLASSES
    if name in ROWS or "split" in FORMATS[name].writes:
        assert [len(Dataset.open(tmp_path / "set", split=split)) for split in ("train", "val")] == [3, 1]
    Dataset(classes, read).save(tmp_path / "native")
    assert len(open_native(tmp_path / "native")[1]) == 4


@pytest.mark.parametrize("name", WRITTEN)
def test_a_class_comes_back_or_is_refused(tmp_path, name):
    """Formats that read a name as id 0 or 255 do not write it."""
    for number, odd in enumerate(("Background", "_background_", "__background__", "Void", "ignore")):
        said = ""
        try:
            export(name, (odd, "dog"), samples(2), tmp_path / f"{number}")
        except UserError as error:
            said = str(error)
        if name in READ and not said:
            assert imported(name, tmp_path / f"{number}")[0] == (odd, "dog")
        assert said == "" or said.startswith(f"classes: '{odd}' means ")


@pytest.mark.parametrize("name", WRITTEN)
def test_bad_samples_are_named_and_leave_nothing(tmp_path, name):
    other, meet = "a_b", "two samples are called 'a_b'"
    if FORMATS[name].flat:
        other, meet = "a/b", "'a/b' and 'a_b' would both be 'a_b' without folders; .* cvat, labelstudio, coco, masks$"
    for bad, said in (
        ([item(other), item("a_b")], meet),
        ([item("b", np.full((4, 6), 9, np.uint8))], "sample 'b': id 9"),
    ):
        with user_error(said):
            export(name, ("cat",), bad, tmp_path / "set")
        assert list(tmp_path.iterdir()) == []


def test_classes_are_a_list_of_different_names(tmp_path):
    with user_error("class 'a' appears twice"):
        Dataset(("a", "a"), [])
    for make in (lambda: Dataset("dog", []), lambda: Dataset.open(tmp_path, "masks", classes="dog")):
        with user_error(r"^classes: must be a list of names, like \['dog'\]$"):
            make()


def test_as_torch(tmp_path):
    pets().save(tmp_path / "pets")
    given = Dataset.open(tmp_path / "pets")[::2].merge(Dataset(("fox", "cat"), [item("x", blocks(7, 2), {}, (20, 30))]))
    samples = pickle.loads(pickle.dumps(given.as_torch()))  # as processes that load batches get it
    assert [str(values.dtype) for values in samples[0]] == ["torch.float32", "torch.int64"]
    for (image, label_map), sample in zip(samples, given, strict=False):
        assert np.array_equal((image.permute(1, 2, 0) * 255).round().byte().numpy(), sample.image)
        assert np.array_equal(label_map.numpy(), sample.label_map)
    assert given.as_torch(lambda image, label_map: label_map.shape)[0] == (20, 30)
