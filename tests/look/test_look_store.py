import hashlib
import json
import random
from contextlib import suppress

import numpy as np
import pytest
from look_server import CLASSES, write_set
from refusals import user_error

from seediff.dataset.encoding import read_label_map
from seediff.dataset.native import open_native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.renames import open_set
from seediff.dataset.reviews import REVIEWS, read_actions
from seediff.errors import UserError
from seediff.look.index import Query
from seediff.look.store import MOVES, VERDICTS, Edit, Stale, Store


@pytest.fixture
def pets(tmp_path):
    return write_set(tmp_path / "pets")


def opened(folder, **options):
    return Store(folder, by="ann", **options)


def painted(present, value=2):
    labels = present.copy()
    labels[:9, :7] = value
    return labels


def test_a_correction_lies_beside_the_original_and_its_line_says_all(pets):
    before = (pets / "masks/000001.png").read_bytes()
    told = []
    store = opened(pets, tell=told.append)
    labels = painted(store.labels(store.state(1)), 255)
    state = store.act(1, 0, Edit("brush", labels=lambda _: labels, detail={"tool": "brush"}), "w")
    store.act(1, 1, Edit("accept"))
    store.close()
    assert (pets / "masks/000001.png").read_bytes() == before
    first, second = [json.loads(line) for line in (pets / REVIEWS).read_text().splitlines()]
    file = pets / first["mask"]
    assert first["mask"] == "reviewed/000001.1.png"
    np.testing.assert_array_equal(read_label_map(file), labels)
    assert first["from"] == hashlib.sha256(before).hexdigest()
    assert first["hash"] == hashlib.sha256(file.read_bytes()).hexdigest() == second["from"] == second["hash"]
    told_of = [first[key] for key in ("sample", "by", "action", "version", "verdict")]
    assert told_of == ["000001", "ann", "brush", 1, None]
    assert first["classes"] == ["cat"]
    assert first["area"] == {"cat": round(float((labels == 2).mean()), 6)}
    assert (second["verdict"], second["by"], second["mask"]) == ("accepted", "ann", first["mask"])
    assert (state["version"], state["corrected"], state["undo"], state["redo"]) == (1, True, True, False)
    assert [(one["kind"], one["window"], one["action"]) for one in told] == [
        ("state", "w", "brush"),
        ("state", "", "accept"),
    ]


def test_an_added_class_is_painted_and_is_in_every_export(pets):
    from seediff import Dataset

    told = []
    store = opened(pets, tell=told.append)
    store.add_class("bus")
    assert told == [{"kind": "classes"}]
    labels = store.labels(store.state(0)).copy()
    labels[0, :9] = len(CLASSES) + 1
    state = store.act(0, 0, Edit("brush", labels=lambda _: labels))
    assert (state["classes"][-1], state["flags"]) == (4, [])  # few pixels, but a person's
    assert store.index.select(Query(classes=(4,)))[0].tolist() == [0]
    for name in ("bus", "Bus", " car", "a, b", "Background", "void", ""):
        with user_error("class"):
            store.add_class(name)
    for wrong, said in ((labels[1:], "the label map is"), (labels + 1, "the label map has ids above 4")):
        with user_error(said):
            store.act(0, 1, Edit("brush", labels=lambda _, wrong=wrong: wrong))
    store.close()
    dataset = Dataset.open(pets)
    assert dataset.classes == (*CLASSES, "bus")
    np.testing.assert_array_equal(next(iter(dataset)).label_map, labels)


def test_undone_it_is_no_correction_and_a_stroke_that_changes_nothing_no_action(pets):
    store = opened(pets)
    before = store.labels(store.state(0))
    assert store.act(0, 0, Edit("brush", labels=lambda _: before))["version"] == 0
    assert not (pets / REVIEWS).exists()
    store.act(0, 0, Edit("accept"))
    store.act(0, 1, Edit("brush", labels=painted))
    assert store.act(0, 2, Edit("brush", labels=lambda present: present))["version"] == 2
    state = store.act(0, 2, Edit("undo"))
    assert (state["verdict"], state["corrected"]) == ("accepted", False)
    np.testing.assert_array_equal(store.labels(store.state(0)), before)
    line = json.loads((pets / REVIEWS).read_text().splitlines()[-1])
    assert (line["action"], line["mask"], line["hash"]) == ("undo", None, None)
    assert not {"classes", "area"} & line.keys()
    assert open_native(pets)[1][0].metadata["review"] == {"verdict": "accepted", "corrected": False, "by": "ann"}
    assert store.act(0, 3, Edit("redo"))["corrected"]
    assert not store.act(0, 4, Edit("undo"))["corrected"]
    store.close()
    store = opened(pets)
    assert store.act(0, 5, Edit("undo"))["verdict"] is None
    assert not store.act(0, 6, Edit("reject"))["redo"]  # what was undone is gone for good
    store.close()


def test_any_actions_leave_what_the_file_says(pets):
    """Here the results of a sample's actions are a list, in which undo and redo move. Whoever opens the set afterwards,
    and every other command, sees the one where they ended.
    """
    rng, store = random.Random(0), opened(pets)
    results, at = [(None, store.labels(store.state(0)), "")], 0
    for version in range(60):
        name, before = rng.choice([*VERDICTS, "brush", "made", "undo", "undo", "redo"]), store.state(0).version
        verdict, labels, maker = results[at]
        edit, move = Edit(name), MOVES.get(name, 0)
        if name in VERDICTS:
            verdict = VERDICTS[name]
        elif not move:
            labels, maker = np.full_like(labels, version % 4), name
            edit = Edit(name, lambda _, labels=labels: labels, {"beta": 0.5})
        with suppress(UserError):  # there is nothing to undo
            store.act(0, before, edit)
        if move:
            at = min(max(at + move, 0), len(results) - 1)
        elif store.state(0).version > before:  # a mask without a changed pixel is no action
            results[at + 1 :] = [(verdict, labels, maker)]
            at += 1
        shown, (verdict, labels, maker) = store.for_page(0), results[at]
        told = [shown[key] for key in ("verdict", "corrected", "made", "undo", "redo")]
        assert told == [verdict, maker == "brush", maker == "made", at > 0, at + 1 < len(results)]
        np.testing.assert_array_equal(store.labels(store.state(0)), labels)
    store.close()
    again, sample = opened(pets), open_native(pets)[1][0]
    np.testing.assert_array_equal(sample.label_map, labels)
    assert again.for_page(0) == shown
    assert sample.row == again.state(0).row(CLASSES)
    again.close()


def test_every_place_where_a_kill_can_cut_the_log(pets):
    """Whatever is left of the last line: the actions before it are there, the next ones too, and the file is whole
    again.
    """
    store = opened(pets)
    store.act(0, 0, Edit("accept"))
    store.act(1, 0, Edit("brush", labels=painted))
    store.close()
    data = (pets / REVIEWS).read_bytes()
    begin = data.index(b"\n") + 1
    for end in (begin, begin + 1, begin + 40, len(data) - 2, len(data) - 1, len(data)):
        (pets / REVIEWS).write_bytes(data[:end])
        whole = end >= len(data) - 1
        assert len(read_actions(pets)) == 1 + whole
        store = opened(pets)
        assert store.for_page(0)["verdict"] == "accepted"
        assert store.for_page(1)["corrected"] is whole
        store.act(3, 0, Edit("reject"))
        store.close()
        lines = (pets / REVIEWS).read_bytes().splitlines()
        assert len(lines) == 2 + whole
        assert all(json.loads(line) for line in lines)


def test_where_nothing_can_be_saved_it_can_be_looked_at(pets, monkeypatch):
    import os

    real = os.open

    def refused(path, flags, *rest, **options):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", refused)
    store = opened(pets)
    assert "read-only" in store.read_only
    with user_error("nothing can be saved"):
        store.act(0, 0, Edit("accept"))
    assert store.labels(store.state(0)).shape == (64, 64)


def test_a_link_in_the_place_of_the_log_or_the_folder_is_not_followed(pets, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (pets / "reviewed").symlink_to(elsewhere)
    store = opened(pets)
    with user_error("leads out of"):
        store.act(0, 0, Edit("brush", labels=painted))
    store.close()
    assert not list(elsewhere.iterdir())
    (tmp_path / "other").write_text("")
    (pets / REVIEWS).symlink_to(tmp_path / "other")
    with user_error(r"review\.jsonl: leads out of"):
        opened(pets)
    assert (tmp_path / "other").read_text() == ""


def test_a_class_gets_another_name_everywhere_and_a_removed_one_comes_back_with_its_masks(pets):
    listed = (pets / "classes.txt").read_bytes()
    store = opened(pets)
    store.act(0, 0, Edit("brush", labels=lambda _: painted(store.labels(store.state(0)), 3)))
    store.add_class("dgo")  # id 4
    store.act(1, 0, Edit("brush", labels=lambda _: painted(store.labels(store.state(1)), 4)))
    store.rename_class(1, "hound")
    with pytest.raises(UserError, match="masks show dgo"):
        store.rename_class(4, "")
    store.act(1, 1, Edit("relabel", labels=lambda labels: np.where(labels == 4, np.uint8(3), labels)))
    store.rename_class(4, "")
    assert store.class_names.names == ("hound", "cat", "potted plant", "")
    for name, why in (("Cat", "read the same"), ("dog", "was the name of hound"), ("", "no names|empty")):
        with pytest.raises(UserError, match=why):
            store.add_class(name)
    store.close()
    classes, samples = open_set(pets)
    assert classes == ("hound", "cat", "potted plant")
    assert {name for sample in samples for name in sample.row.named} <= {*classes}
    for sample in samples:
        assert sample.row.class_ids == tuple(classes.index(name) + 1 for name in sample.row.named)
    assert (pets / "classes.txt").read_bytes() == listed + b"dgo\n"

    store = opened(pets)
    assert store.for_page(1)["area"].keys() >= {"potted plant"}
    store.act(1, 2, Edit("undo"))  # the mask with dgo
    assert store.class_names.names[3] == "dgo"
    assert "dgo" in store.for_page(1)["area"]
    assert open_set(pets)[0] == ("hound", "cat", "potted plant", "dgo")
    store.act(1, 3, Edit("redo"))
    assert store.class_names.names[3] == ""
    store.add_class("dgo")
    assert store.class_names.names[3] == "dgo"
    store.close()


def test_a_name_is_of_one_class_for_ever(pets):
    """A removed class may come back by an undo, and an older export may come back from a tool."""
    store, told = opened(pets), []
    store.add_class("dgo")  # id 4
    store.act(1, 0, Edit("brush", labels=lambda _: painted(store.labels(store.state(1)), 4)))
    store.rename_class(4, "puppy")
    store.act(1, 1, Edit("relabel", labels=lambda labels: np.where(labels == 4, np.uint8(1), labels)))
    store.rename_class(4, "")
    store.rename_class(2, "kitten")
    store.rename_class(2, "Kater")
    for new, name, why in [
        (1, "puppy", "puppy is the name of a removed class; add it first"),
        (1, "Dgo", "dgo is the name of a removed class; add it first"),
        (1, "kitten", "kitten was the name of Kater; choose another one"),
        (1, "segment", "segment is the name of segments without a class"),
    ]:
        with user_error(why):
            store.rename_class(new, name)
    store.tell = lambda report: told.append((report["kind"], report.get("classes"), 4 in store.index.ids.values()))
    store.act(1, 2, Edit("undo"))  # the mask with the removed class
    assert [(kind, named) for kind, _, named in told] == [("classes", True), ("state", True)]
    assert 4 in told[1][1]
    store.act(1, 3, Edit("redo"))
    assert "" not in store.index.ids
    store.add_class("puppy")  # comes back
    assert store.class_names.names == ("dog", "Kater", "potted plant", "puppy")
    store.rename_class(2, "Ka\u0308tzchen")
    store.add_class("Ma\u0308us")
    store.close()
    assert open_set(pets)[0] == ("dog", "K\xe4tzchen", "potted plant", "puppy", "M\xe4us")
    opened(pets).close()


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({"class": "dog", "name": "cat"}, r"review\.jsonl: gives two classes the name 'cat'"),
        ({"class": ["dog"], "name": "hound"}, "a rename must have texts"),
    ],
)
def test_a_log_that_would_join_classes_is_refused(pets, detail, said):
    (pets / REVIEWS).write_text(json.dumps({"version": 1, "action": "rename", "detail": detail}) + "\n")
    for read in (open_set, opened):
        with user_error(said):
            read(pets)
    assert any(finding.level == "error" for finding in check_dataset(pets).findings)


def test_a_request_whose_answer_was_lost_is_answered_again_and_changes_nothing(pets):
    store = opened(pets)
    for at, edit in enumerate((Edit("accept"), Edit("undo"), Edit("redo"))):
        first = store.act(0, at, edit, once=edit.name)
        assert store.act(0, at, edit, once=edit.name) == first
    with pytest.raises(Stale):
        store.act(0, 1, Edit("undo"), once="undo")  # others have acted since
    assert [action.action for action in read_actions(pets)] == ["accept", "undo", "redo"]
    store.close()
