from unicodedata import normalize

import numpy as np
import pytest
from blocks import blocks, some
from formats import EVERY
from items import GO, STAY, item, judged, judgements, rows_of
from refusals import user_error

from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import encode_soft
from seediff.dataset.formats.exporting import export
from seediff.dataset.formats.format_table import FORMATS
from seediff.dataset.importing import correct, import_set
from seediff.dataset.native import open_native
from seediff.dataset.sample import Sample
from seediff.dataset.shapes.objects import Objects
from seediff.dataset.writing import save_native
from seediff.rows.row import OF_MASK, as_row

CLASSES = ("cat", "dog", "cow")


@pytest.fixture
def pets(tmp_path):
    """The samples of `some` with what describes their masks, also soft masks."""
    items, soft = some(), tmp_path / "soft.png"
    soft.write_bytes(encode_soft(np.ones((20, 30))))
    for one in items:
        ids = {*one.label_map.flat} - {0, 255}
        one.row = as_row({**one.metadata, **judged("cat")})
        one.extras |= {("soft", int(class_id)): soft for class_id in ids}
    save_native(tmp_path / "pets", CLASSES, items, about={})
    return tmp_path / "pets"


def brought(folder, items, classes=CLASSES, by="cvat", **options):
    changes = []
    names, found = correct(Dataset.open(folder), classes, items, by=by, tell=changes.append, **options)
    return names, list(found), changes


def test_masks_are_new_and_the_rest_is_the_sets(pets, tmp_path):
    after = some()[0].label_map.copy()
    after[:5, :7] = 3
    after[after == 1] = 0
    mended = [item("trip/0", after, {"junk": 1}, (20, 30)), item("trip/2", some()[2].label_map, {}, (20, 30))]
    names, found, changes = brought(pets, mended)
    before = open_native(pets)[1]
    assert (names, [one.data() for one in found]) == (CLASSES, [one.data() for one in before])
    assert [(change.name, change.pixels > 0) for change in changes] == [("trip/0", True), ("trip/2", False)]
    assert np.array_equal(found[0].label_map, after)
    assert [judgements(one) for one in [*before, *found]] == [*[STAY] * 4, GO, STAY, STAY, STAY]
    assert [one.soft is None for one in [*before, *found]] == [*[False] * 4, True, False, False, False]
    first, *others = (one.metadata for one in found)
    review = {"verdict": "accepted", "corrected": True, "by": "cvat"}
    assert first["review"] == review
    assert {*first} == {*before[0].metadata} - {*OF_MASK} | {"flags", "review"}
    assert (first["prompt"], first["flags"]) == ("p", [])
    assert others == [one.metadata for one in before[1:]]  # 2 came back as it was: nobody may have looked
    looked = brought(pets, mended, accept_unchanged=True)[1]
    assert looked[2].metadata["review"] == {**review, "corrected": False}
    save_native(tmp_path / "corrected", names, found, about={})
    row = rows_of(tmp_path / "corrected")[0]
    assert row["area"]["cow"] == round(float((after == 3).mean()), 6)
    assert [{*one["classes"]} for one in (before[0].metadata, row)] == [{"cat", "dog", "cow"}, {"dog", "cow"}]
    again = brought(tmp_path / "corrected", [])[1]  # the corrected one needs no soft mask
    assert [one.soft is None for one in again] == [True, False, False, False]


@pytest.mark.parametrize(
    ("first", "second"), [("trip/1", "trip_1"), ("trip/e\u0301", "trip_e\u0301"), ("trip/e\u0301", "trip_é")]
)
def test_a_name_without_folders_that_may_be_of_two_samples_is_refused(tmp_path, first, second):
    """The second was rejected and not exported: the mask that came back is that of the first. VOC composes accents."""
    masks = {first: np.ones((4, 6), np.uint8), second: np.full((4, 6), 2, np.uint8)}
    samples = [item(name, labels) for name, labels in masks.items()]
    save_native(tmp_path / "pets", CLASSES, samples, about={})
    back = item(normalize("NFC", second), masks[first])
    with user_error(f"may be any of {first}, {second}"):
        brought(tmp_path / "pets", [back], by="labelme")
    assert brought(tmp_path / "pets", [back])[2][0].name == second  # CVAT keeps folders


def test_an_accent_may_be_a_character_of_its_own(tmp_path):
    """As in names from macOS; lists of VOC come back without such."""
    save_native(tmp_path / "pets", CLASSES, [item("e\u0301t")], about={})
    assert brought(tmp_path / "pets", [item("\xe9t")], by="voc")[2][0].name == "e\u0301t"


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
            r"sample 'trip/0': label map is \(4, 6\), but its image is \(20, 30\)",
        ),
    ],
)
def test_what_cannot_be(pets, items, message):
    with user_error(message):
        brought(pets, items)


def columns(text):
    """(8, 5 · columns) int32: a number for each column."""
    return np.kron(np.array([[*map(int, text)]], np.int32), np.ones((8, 5), np.int32))


def dogs(name, text, known=None, scores=()):
    """A picture of dogs: the object in each column, 0 for none. known: the same if only these objects are known."""
    numbers = columns(known or text)
    objects = Objects(numbers, (1,) * numbers.max(), scores)
    return Sample(np.zeros((*numbers.shape, 3), np.uint8), (columns(text) > 0).astype(np.uint8), objects, name=name)


@pytest.mark.parametrize(
    ("before", "after", "by", "objects", "divided"),
    [
        ("1102", "3102", "cvat", "3102", True),
        ("1100", "1120", "cvat", "1120", True),  # a new dog beside another
        ("1222", "1122", "cvat", "1122", True),  # the border between them moved
        ("1020", "2010", "cvat", "1020", False),
        ("1012", "1032", "yolo", "1012", False),  # the format writes pieces
        ("1020", "1010", "cvat", "1010", True),
        ("1000", "1010", "cvat", "1010", True),
        ("1000", "1100", "cvat", "1100", False),
    ],
)
def test_the_tools_objects_become_the_samples(tmp_path, before, after, by, objects, divided):
    save_native(tmp_path / "set", ("dog",), [dogs("a", before)], about={})
    _, (found,), changes = brought(tmp_path / "set", [dogs("a", after)], ("dog",), by)
    pairs = {*zip(found.instances.numbers.flat, columns(objects).flat, strict=True)}
    assert (len(pairs), changes[0].divided) == (len({*objects}), divided)
    accepted = divided or changes[0].pixels > 0
    assert (found.metadata.get("review", {}).get("verdict") == "accepted") == accepted


def test_a_rest_without_an_object_and_scores_stay(tmp_path):
    save_native(tmp_path / "set", ("dog",), [dogs("a", "1123", "1120", (0.25, 0.5))], about={})
    for after, scores, objects in (("1123", (0.25, 0.5), "1120"), ("1423", (0.25, 0.5, 0.25), "1320")):
        found = brought(tmp_path / "set", [dogs("a", after)], ("dog",))[1][0]
        assert (found.instances.scores, "review" in found.metadata) == (scores, after != "1123")
        assert np.array_equal(found.instances.numbers, columns(objects))


def test_pixels_that_yolo_cannot_ignore_stay_ignored(pets):
    before = some()[0].label_map
    returned = np.where(before == 255, 0, before)
    assert (before == 255).any()
    for by, pixels in (("yolo", 0), ("cvat", int((before == 255).sum()))):
        changes = brought(pets, [item("trip/0", returned, {}, (20, 30))], by=by)[2]
        assert changes[0].pixels == pixels


@pytest.mark.parametrize("pictures", [True, False], ids=["pictures beside the labels", "labels alone"])
@pytest.mark.parametrize("tool", [name for name in EVERY if FORMATS[name].names_pictures])
def test_names_with_folders_come_back(pets, tmp_path, tool, pictures):
    export(tool, CLASSES, open_native(pets)[1], tmp_path / "tool")
    if not pictures:
        for path in (tmp_path / "tool").rglob("*.*g"):
            if "annotations" not in path.parts:
                path.unlink()
    done = import_set(tool, tmp_path / "tool", tmp_path / "back", corrects=pets)
    assert len(done.changes) == len(some())
    assert not any(change.pixels for change in done.changes)
