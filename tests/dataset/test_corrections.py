import numpy as np
import pytest
from blocks import blocks, some
from items import item
from refusals import user_error

from seediff.dataset import native
from seediff.dataset.corrections import correct
from seediff.dataset.encoding import encode_soft
from seediff.dataset.native import open_native
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
    assert first["review"] == {**review, "gained": dict(changes[0].gained), "lost": dict(changes[0].lost)}
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
