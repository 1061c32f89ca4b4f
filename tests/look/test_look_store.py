import hashlib
import json
import random

import numpy as np
import pytest
from look_server import CLASSES, write_set
from refusals import user_error

from seediff.dataset.encoding import read_label_map
from seediff.dataset.native import open_native
from seediff.dataset.reviews import REVIEWS, read_actions
from seediff.errors import UserError
from seediff.look.store import STALE, VERDICTS, Edit, Store


@pytest.fixture
def pets(tmp_path):
    return write_set(tmp_path / "pets")


def opened(folder, **options):
    return Store(folder, by="ann", **options)


def act(store, number, version, edit):
    """The state of a sample after an edit. Raises UserError if it is refused."""
    answer = store.act([(number, version)], lambda state: edit)
    if answer["refused"].get(number):
        raise UserError(answer["refused"][number])
    return answer["samples"][0]


def test_an_action_on_an_older_version_is_refused_and_one_on_many_is_one(pets):
    store = opened(pets)
    act(store, 1, 0, Edit("accept"))
    answer = store.act([(0, 0), (1, 0), (2, 0), (1, 1)][:3], lambda state: Edit("accept"))
    assert answer["refused"] == {1: STALE}
    assert [one["version"] for one in answer["samples"]] == [1, 1, 1]
    assert store.act([(1, 1)], lambda state: Edit("accept"))["refused"] == {1: ""}  # it is accepted
    with user_error("a request names a sample twice"):
        store.act([(2, 1), (2, 1)], lambda state: Edit("reject"))
    store.close()


def painted(present, value=2):
    labels = present.copy()
    labels[:9, :7] = value
    return labels


def test_a_correction_lies_beside_the_original_and_its_line_says_all(pets):
    before = (pets / "masks/000001.png").read_bytes()
    store = opened(pets)
    labels = painted(store.labels(store.state(1)), 255)
    state = act(store, 1, 0, Edit("brush", labels=lambda _: labels))
    act(store, 1, 1, Edit("accept"))
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
    assert (state["version"], state["corrected"]) == (1, True)


def test_an_added_class_is_painted_and_is_in_every_export(pets):
    from seediff import Dataset

    store = opened(pets)
    store.add_class("bus")
    labels = store.labels(store.state(0)).copy()
    labels[0, :9] = len(CLASSES) + 1
    state = act(store, 0, 0, Edit("brush", labels=lambda _: labels))
    assert (state["classes"][-1], state["flags"]) == (4, [])  # few pixels, but a person's
    for name in ("bus", "Bus", " car", "a, b", "Background", "void", ""):
        with user_error("class"):
            store.add_class(name)
    for wrong, said in ((labels[1:], "the label map is"), (labels + 1, "the label map has ids above 4")):
        with user_error(said):
            act(store, 0, 1, Edit("brush", labels=lambda _, wrong=wrong: wrong))
    store.close()
    dataset = Dataset.open(pets)
    assert dataset.classes == (*CLASSES, "bus")
    np.testing.assert_array_equal(next(iter(dataset)).label_map, labels)


def test_undone_it_is_no_correction_and_a_stroke_that_changes_nothing_no_action(pets):
    store = opened(pets)
    before = store.labels(store.state(0))
    assert act(store, 0, 0, Edit("brush", labels=lambda _: before))["version"] == 0
    assert not (pets / REVIEWS).exists()
    act(store, 0, 0, Edit("accept"))
    act(store, 0, 1, Edit("brush", labels=painted))
    assert act(store, 0, 2, Edit("brush", labels=lambda present: present))["version"] == 2
    act(store, 0, 2, Edit("undo", to=1))
    line = json.loads((pets / REVIEWS).read_text().splitlines()[-1])
    assert (line["action"], line["mask"], line["hash"]) == ("undo", None, None)
    assert not {"classes", "area"} & line.keys()
    with user_error("there is no version 9"):
        act(store, 0, 3, Edit("undo", to=9))
    act(store, 0, 3, Edit("undo", to=0))
    assert "review" not in open_native(pets)[1][0].metadata
    store.close()


def test_any_actions_leave_what_the_last_line_says(pets):
    """Whoever opens the set afterwards, and every other command, sees the state of the last action."""
    rng, store = random.Random(0), opened(pets)
    results = {0: (None, store.labels(store.state(0)), "")}  # version → (verdict, labels, maker)
    for step in range(60):
        name, before = rng.choice([*VERDICTS, "brush", "made", "undo", "undo"]), store.state(0).version
        verdict, labels, maker = results[before]
        edit = Edit(name)
        if name in VERDICTS:
            verdict = VERDICTS[name]
        elif name == "undo":
            edit = Edit(name, to=rng.choice([*results]))
            verdict, labels, maker = results[edit.to]
        else:
            labels, maker = np.full_like(labels, step % 4), name
            edit = Edit(name, lambda _, labels=labels: labels, {"beta": 0.5} if name == "made" else None)
        act(store, 0, before, edit)
        if store.state(0).version > before:  # what changes nothing is no action
            results[before + 1] = verdict, labels, maker
        shown, (verdict, labels, maker) = store.for_page(0), results[store.state(0).version]
        told = [shown[key] for key in ("verdict", "corrected", "made")]
        assert told == [verdict, maker == "brush", maker == "made"]
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
    act(store, 0, 0, Edit("accept"))
    act(store, 1, 0, Edit("brush", labels=painted))
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
        act(store, 3, 0, Edit("reject"))
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
        act(store, 0, 0, Edit("accept"))
    assert store.labels(store.state(0)).shape == (64, 64)


def test_a_link_in_the_place_of_the_log_or_the_folder_is_not_followed(pets, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (pets / "reviewed").symlink_to(elsewhere)
    store = opened(pets)
    with user_error("leads out of"):
        act(store, 0, 0, Edit("brush", labels=painted))
    store.close()
    assert not list(elsewhere.iterdir())
    (tmp_path / "other").write_text("")
    (pets / REVIEWS).symlink_to(tmp_path / "other")
    with user_error(r"review\.jsonl: leads out of"):
        opened(pets)
    assert (tmp_path / "other").read_text() == ""
