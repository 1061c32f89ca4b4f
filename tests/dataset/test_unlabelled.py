import numpy as np
import pytest
from command_line import runner
from PIL import Image
from refusals import user_error

from seediff.cli.formats import export_, import_
from seediff.cli.sets import check, filter_, merge, split
from seediff.dataset.dataset import Dataset
from seediff.dataset.native import open_native
from seediff.evaluate.evaluation import evaluate
from seediff.evaluate.segments import evaluate_segments
from seediff.look.store import Edit, Store
from seediff.train.stages import open_training

run = runner(check, export_, filter_, import_, merge, split)
NOTE = "2 unlabelled samples left out"


def flags(folder):
    return [sample.metadata["flags"] for sample in open_native(folder)[1]]


@pytest.fixture
def empty(tmp_path):
    """Four photographs in a set without a label: a, b, c and trip/d."""
    for number, name in enumerate(("a.png", "b.jpg", "c.tif", "trip/d.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(np.full((40 + number, 32, 3), 40 * number, np.uint8)).save(path)
    options = ["--classes", "dog,cat", "--unlabelled"]
    run("import", tmp_path / "photos", *options, "--out", tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture
def begun(empty):
    """The same when a is painted and b is accepted as empty."""
    store = Store(empty, by="ann")
    store.act([(0, 0)], lambda _: Edit("brush", labels=lambda present: np.maximum(present, np.uint8(2))))
    store.act([(1, 0)], lambda _: Edit("accept"))
    store.act([(2, 0)], lambda _: Edit("accept"))
    store.act([(2, 1)], lambda _: Edit("undo", to=0))
    store.close()
    return empty


def test_nobody_takes_an_unlabelled_picture_for_an_empty_one(empty, tmp_path):
    assert flags(empty) == [["unlabelled"]] * 4
    run("check", empty)
    ways = {
        "coco": lambda: Dataset.open(empty).export("coco", tmp_path / "coco"),
        "train": lambda: open_training([empty]),
        "evaluate": lambda: evaluate(empty, empty),
        "truths": lambda: Dataset.open(empty, labels_alone=True),
    }
    for way in ways.values():
        with user_error(r"all of its samples \(4\) are unlabelled; accept or paint some in `seediff look`"):
            way()


def test_the_flag_goes_when_somebody_paints_or_accepts(begun, tmp_path, capsys):
    assert flags(begun) == [[], [], ["unlabelled"], ["unlabelled"]]
    run("export", begun, "--to", "masks", "--out", tmp_path / "masks")
    assert NOTE in capsys.readouterr().out
    assert len(Dataset.open(tmp_path / "masks")) == 2
    training, scores = open_training([begun], steps=1), evaluate(begun, begun, draws=1)
    assert (len(training.stages[0].items), [*scores.scores.images]) == (2, ["a", "b"])
    for notes in (training.sets[0].notes, scores.data.notes, Dataset.open(begun).labelled().notes):
        assert NOTE in notes
    assert NOTE in evaluate_segments(tmp_path / "masks/masks", begun, draws=1).labels
    truths = Dataset(("dog", "cat"), [sample.replace(row={}) for sample in Dataset.open(begun)])
    with user_error("has no prediction for 2 of 4 images: c, trip/d; .* and labelled"):
        evaluate(begun, truths, draws=1)


def test_classes_must_be_named(empty, tmp_path):
    with user_error("classes: is missing"):
        run("import", tmp_path / "photos", "--unlabelled", "--out", tmp_path / "out")


def test_labels_are_not_taken_for_pictures(begun, tmp_path):
    Dataset.open(begun).export("masks", tmp_path / "masks")
    for source, kind in ((begun, "native"), (tmp_path / "masks", "masks")):
        with user_error(rf"holds labels \({kind}\)"):
            run("import", source, "--classes", "dog", "--unlabelled", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
