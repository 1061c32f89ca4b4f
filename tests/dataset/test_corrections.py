import numpy as np
import pytest
from blocks import blocks, some
from items import item
from refusals import user_error

from seediff.dataset import native
from seediff.dataset.corrections import correct, sum_changes
from seediff.dataset.encoding import Instances, encode_soft
from seediff.dataset.native import open_native
from seediff.dataset.sample import Sample
from seediff.dataset.saving import save_native

CLASSES = ("cat", "dog", "cow")


@pytest.fixture
def pets(tmp_path):
    """The samples of `some`, one soft mask of the first among its extras."""
    items = some()
    (tmp_path / "soft.png").write_bytes(encode_soft(np.ones((20, 30))))
    items[0].extras["soft", 1] = tmp_path / "soft.png"
    save_native(tmp_path / "pets", CLASSES, items, about={})
    return tmp_path / "pets"


def brought(folder, items, classes=CLASSES, by="cvat", **options):
    changes = []
    names, found = correct(folder, classes, items, by=by, tell=changes.append, **options)
    return names, list(found), changes


def test_masks_are_new_and_the_rest_is_the_sets(pets, tmp_path):
    after = some()[0].label_map.copy()
    after[:5, :7] = 3
    mended = [item("trip/0", after, {"junk": 1}, (20, 30)), item("trip/2", some()[2].label_map, {}, (20, 30))]
    names, found, changes = brought(pets, mended)
    before = open_native(pets)[1]
    assert (names, [one.data() for one in found]) == (CLASSES, [one.data() for one in before])
    assert [(change.name, change.pixels > 0) for change in changes] == [("trip/0", True), ("trip/2", False)]
    assert np.array_equal(found[0].label_map, after)
    first, *others = (one.metadata for one in found)
    review = {"verdict": "accepted", "corrected": True, "by": "cvat"}
    assert first["review"] == review
    assert (first["prompt"], first["flags"], "area" in first, "junk" in first) == ("p", [], False, False)
    assert others == [one.metadata for one in before[1:]]  # 2 came back as it was: nobody may have looked
    looked = brought(pets, mended, accept_unchanged=True)[1]
    assert looked[2].metadata["review"] == {**review, "corrected": False}
    save_native(tmp_path / "corrected", names, found, about={})
    row = native.read_rows(tmp_path / "corrected")[0]
    assert row["area"]["cow"] == round(float((after == 3).mean()), 6)


def test_classes_are_matched_by_name(pets):
    labels = np.where(blocks(0) == 255, 0, blocks(0))
    names, found, _ = brought(pets, [item("trip/0", labels, {}, (20, 30))], ("dog", "bird", "cat"))
    assert names == (*CLASSES, "bird")
    assert np.array_equal(found[0].label_map, np.array([0, 2, 4, 1], np.uint8)[labels])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([item("other")], "sample 'other': is not in .*pets, whose masks are said to be corrected"),
        ([item("trip/0"), item("trip_0")], "sample 'trip_0': appears twice, once as 'trip/0'"),
        (
            [item("trip/0", np.zeros((4, 6), np.uint8))],
            r"sample 'trip/0': label map is \(4, 6\), but its picture is \(20, 30\)",
        ),
    ],
)
def test_what_cannot_be(pets, items, message):
    with user_error(message):
        brought(pets, items)


def dogs(*numbers):
    """A picture whose row of four columns a dog each has these objects, 0 for none; and the label map."""
    shown = np.kron(np.array([numbers], np.int32), np.ones((8, 5), np.int32))
    return (shown > 0).astype(np.uint8), Instances(shown, (1,) * max(numbers))


def image(name, numbers):
    labels, objects = dogs(*numbers)
    return Sample(np.zeros((*labels.shape, 3), np.uint8), labels, objects, name=name)


APART = (1, 0, 2, 0)


@pytest.mark.parametrize(
    ("before", "after", "proof", "objects", "division", "verdict"),
    [
        ((1, 1, 0, 0), (1, 2, 0, 0), False, (1, 2, 0, 0), "divided", "accepted"),
        ((1, 1, 0, 2), (3, 1, 0, 2), False, (3, 1, 0, 2), "divided", "accepted"),
        ((1, 1, 0, 0), (1, 1, 2, 0), False, (1, 1, 2, 0), "divided", "accepted"),  # a new dog beside another
        ((1, 2, 2, 2), (1, 1, 2, 2), False, (1, 1, 2, 2), "divided", "accepted"),  # the border between them moved
        ((1, 0, 2, 0), (2, 0, 1, 0), False, (1, 0, 2, 0), "same", None),
        ((1, 0, 1, 2), (1, 0, 3, 2), False, (1, 0, 3, 2), "divided", "accepted"),
        ((1, 0, 2, 0), (1, 0, 1, 0), False, (1, 0, 2, 0), "joined", None),  # or it is the mask of all dogs
        ((1, 0, 2, 0), (1, 0, 1, 0), True, (1, 0, 1, 0), "divided", "accepted"),
        ((1, 0, 0, 0), (1, 0, 1, 0), False, (1, 0, 2, 0), "joined", None),
        ((1, 0, 0, 0), (1, 1, 0, 0), False, (1, 1, 0, 0), "same", "accepted"),
    ],
)
def test_the_tools_objects_become_the_samples(tmp_path, before, after, proof, objects, division, verdict):
    save_native(tmp_path / "set", ("dog",), [image("a", before), image("b", APART)], about={})
    mended = [image("a", after), *[image("b", APART)] * proof]
    _, (found, _), changes = brought(tmp_path / "set", mended, ("dog",))
    pairs = {*zip(found.instances.numbers.ravel().tolist(), dogs(*objects)[1].numbers.ravel().tolist(), strict=True)}
    assert len(pairs) == len({*objects})
    assert (changes[0].objects, found.metadata.get("review", {}).get("verdict")) == (division, verdict)
    told = "a mask covers several objects or is a whole class" in " ".join(sum_changes(changes))
    assert told == (division == "joined")


def test_pieces_are_one_object_in_a_format_that_writes_pieces(tmp_path):
    save_native(tmp_path / "set", ("dog",), [image("a", (1, 0, 1, 2))], about={})
    _, (found,), (change,) = brought(tmp_path / "set", [image("a", (1, 0, 3, 2))], ("dog",), "yolo")
    assert (change.objects, found.instances.class_ids) == ("same", (1, 1))


def test_a_rest_without_an_object_and_scores_stay(tmp_path):
    labels, _ = dogs(1, 1, 2, 3)
    own = Instances(dogs(1, 1, 2, 0)[1].numbers, (1, 1), (0.25, 0.5))
    before = Sample(np.zeros((*labels.shape, 3), np.uint8), labels, own, name="a")
    save_native(tmp_path / "set", ("dog",), [before], about={})
    found = brought(tmp_path / "set", [image("a", (1, 1, 2, 3))], ("dog",))[1][0]
    assert (found.instances.scores, "review" in found.metadata) == ((0.25, 0.5), False)
    found = brought(tmp_path / "set", [image("a", (1, 4, 2, 3))], ("dog",))[1][0]
    assert found.instances.scores == (0.25, 0.5, 0.25)
    assert np.array_equal(found.instances.numbers, dogs(1, 3, 2, 0)[1].numbers)
