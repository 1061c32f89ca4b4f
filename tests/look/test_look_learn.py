"""What ten corrections teach: it is offered, measured, shown before it is used, and undone as one."""

import shutil

import numpy as np
import pytest
from look_server import Heard, running, write_set
from telling import draw, truth, write_telling

from seediff.dataset import native
from seediff.dataset.quality.check import check_dataset
from seediff.masks.reading import Reading
from seediff.metrics.scores import iou
from seediff.run import generate as generating

COUNT, HELD = 20, 8
"""Samples, and those of them that nobody reviews."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_telling(tmp_path_factory.mktemp("learn") / "pets")


@pytest.fixture
def pets(made, tmp_path):
    return shutil.copytree(made, tmp_path / "pets")


def truths(out):
    """The right label map of each sample."""
    return [np.where(truth(row["seed"], 64), np.uint8(row["class_ids"][0]), np.uint8(0)) for row in native.read_rows(out)]


def correct(client, out, numbers):
    for number in numbers:
        assert client.paint(number, truths(out)[number], client.get(f"/api/samples/{number}")["version"]).status == 200


def test_from_corrections_to_masks_that_nobody_reviewed(pets):
    right = truths(pets)
    with running(pets) as (client, opened):
        heard = Heard(opened)
        correct(client, pets, range(9))
        assert client.get("/api/offers")["learn"] is None
        correct(client, pets, range(9, COUNT - HELD))
        client.act(COUNT - 1, "reject", 0)
        assert client.get("/api/offers")["learn"] == {"corrected": COUNT - HELD, "refused": "", "gain": "", "changed": 0, "of": 0}
        before = [client.labels(i) for i in range(COUNT)]
        assert client.post("/api/job/learn", {}).status == 202
        assert heard.ended()["text"] == f"learnt; {HELD - 1} masks would change"
        offer = client.get("/api/offers")["learn"]
        assert (offer["changed"], offer["of"]) == (HELD - 1, HELD - 1)
        assert offer["gain"].startswith("On pictures that it did not see: mean IoU 0.9")
        for i in range(COUNT):
            np.testing.assert_array_equal(client.labels(i), before[i])  # nothing is changed yet

        # What would change is compared with what is there, the most different first.
        assert client.get("/api/set")["compared"] == {"name": "as learnt", "classes": ["dog", "cat"]}
        order = client.numbers(sort="different", descending=True)[: HELD - 1]
        assert sorted(order) == list(range(COUNT - HELD, COUNT - 1))
        shares = [(client.ask("GET", f"/api/samples/{i}/other").labels != before[i]).mean() for i in order]
        assert shares == sorted(shares, reverse=True)
        assert client.ask("GET", "/api/samples/0/other").status == 400

        last = client.act(order[0], "accept", 0).json  # while it is looked at, somebody decides about one
        assert client.get("/api/offers")["learn"]["changed"] == HELD - 2
        assert client.post("/api/job/learnt", {"by": "ann"}).status == 202
        job = heard.ended()
        assert job["text"] == f"{HELD - 2} masks by the reading"
        assert client.get("/api/set")["compared"] is None
        now = [client.labels(i) for i in range(COUNT)]
        scores = np.array([[iou(labels[i] > 0, right[i] > 0) for i in order[1:]] for labels in (before, now)])
        assert scores.mean(1)[1] > 0.9 > 0.8 > scores.mean(1)[0]
        np.testing.assert_array_equal(now[order[0]], before[order[0]])
        state = client.get(f"/api/samples/{order[1]}")
        assert (state["verdict"], state["corrected"], state["made"]) == (None, False, True)
        assert "a reading that was learnt" in client.get(f"/api/samples/{order[1]}/attention")["told"]
        assert client.get("/api/offers")["learn"]["corrected"] == COUNT - HELD  # its own masks are no corrections
        assert Reading.load(pets / "reviewed/reading-1.safetensors").about.note.startswith("12 pictures of pets")
        assert not check_dataset(pets).findings
        client.post("/api/job/undo", {"job": job["job"]})
        assert heard.ended()["text"] == f"{HELD - 2} undone"
        for i in range(COUNT):
            np.testing.assert_array_equal(client.labels(i), before[i])
        assert last["version"] == client.get(f"/api/samples/{order[0]}")["version"]


def test_corrections_of_another_tool_teach_and_stay(pets):
    """The set has its corrections in its rows, as one from `import --corrects` or `filter` has them. A set of --dispute is no other."""
    rows, right = native.read_rows(pets), truths(pets)
    for row, labels in list(zip(rows, right, strict=True))[: COUNT - HELD]:
        row["review"] = {"verdict": "accepted", "corrected": True, "by": "cvat"}
        (pets / row["mask"]).write_bytes(native.encode_mask(labels))
    (pets / native.METADATA).write_bytes(native.jsonl(rows))
    toml = (pets / native.CONFIG).read_text()
    for before, after in (('method = "ca"', 'method = "seediff"\ndispute = 0.55'), ("seed_level = 4", "seed_level = 1")):
        assert before in toml
        toml = toml.replace(before, after)
    (pets / native.CONFIG).write_text(toml.replace("self_level = 2", "self_level = 1"))
    with running(pets) as (client, opened):
        heard = Heard(opened)
        assert client.get("/api/offers")["learn"]["corrected"] == COUNT - HELD
        client.post("/api/job/learn", {})
        assert heard.ended()["text"] == f"learnt; {HELD} masks would change"
        client.post("/api/job/learnt", {})
        assert heard.ended()["text"] == f"{HELD} masks by the reading"
        for i in range(COUNT - HELD):
            np.testing.assert_array_equal(client.labels(i), right[i])
        view = client.post("/api/views", {}).json["view"]
        client.post("/api/job", {"view": view, "places": [[0, COUNT]], "action": "reset"})
        assert heard.ended()["text"] == f"{COUNT - HELD} set to not reviewed; {HELD} unchanged"


def test_what_gains_nothing_is_refused_and_what_is_stopped_or_given_up_changes_nothing(pets):
    with running(pets) as (client, opened):
        heard = Heard(opened)
        correct(client, pets, range(10))
        for i in range(10, 20):
            client.act(i, "accept", 0)  # says that poor masks are right
        client.post("/api/job/learn", {})
        assert "gains nothing on pictures that it did not see" in heard.ended()["text"]
        assert client.get("/api/set")["compared"] is None
        assert client.post("/api/job/learnt", {}).status == 400
        for i in range(10, 20):
            client.act(i, "reset", 1)
        tell = opened.session.tell
        opened.session.tell = lambda report: (client.post("/api/job/stop", {}) if report.get("done") == 3 else None, tell(report))
        client.post("/api/job/learn", {})
        assert heard.ended()["text"] == "stopped: nothing was learnt"
        opened.session.tell = tell
        client.post("/api/job/learn", {})
        assert heard.ended()["text"].startswith("learnt")
        client.post("/api/learnt/forget", {})
        assert client.get("/api/set")["compared"] is None
        assert client.get("/api/offers")["learn"]["gain"] == ""


def test_rejected_corrections_teach_nothing_and_samples_without_attention_are_passed_over(pets):
    (pets / "attention/000000.safetensors").unlink()
    (pets / "seediff.toml").write_text((pets / "seediff.toml").read_text().replace('model = "mini"', 'model = "sd2-base"'))
    with running(pets) as (client, opened):
        heard = Heard(opened)
        correct(client, pets, range(12))
        for i in range(12):
            client.act(i, "reject", 1)
        assert client.get("/api/offers")["learn"] is None
        for i in range(12):
            client.act(i, "reset", 2)
        assert client.get("/api/offers")["learn"]["refused"] == ""
        client.post("/api/job/learn", {})
        assert heard.ended()["text"].startswith("learnt; ")


def test_a_picture_that_is_drawn_anew_gets_no_mask_of_the_old_one(pets, monkeypatch):
    monkeypatch.setattr(generating, "model_draw", lambda *args: draw)
    with running(pets) as (client, opened):
        heard = Heard(opened)
        correct(client, pets, range(12))
        client.post("/api/job/learn", {})
        heard.ended()
        client.act(19, "reject", 0)
        client.post("/api/job/redraw", {"count": 1})
        assert heard.ended()["text"] == "1 drawn again"
        labels = client.labels(19)
        client.post("/api/job/learnt", {})
        assert heard.ended()["text"] == f"{HELD - 1} masks by the reading"
        np.testing.assert_array_equal(client.labels(19), labels)


def test_it_says_which_options_keep_the_maps(tmp_path):
    out = write_set(tmp_path / "pets", 12)
    with running(out) as (client, opened):
        heard = Heard(opened)
        for i in range(10):
            client.paint(i, np.full((64, 64), 1, np.uint8), 0)
        refused = client.get("/api/offers")["learn"]["refused"]
        assert refused.startswith("To learn from corrections, make the set with --keep-attention --capture-apart: its maps")
        client.post("/api/job/learn", {})
        assert "at least 10 are needed" in heard.ended()["text"]
