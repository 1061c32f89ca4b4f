"""Rejected samples drawn again from the page: the same files as `generate --top-up` leaves; stopped, failed and continued."""

import shutil

import numpy as np
import pytest
from fake_engine import fake_draw
from interrupted import contents
from look_server import Heard, running
from patience import wait_until

from seediff.config.generate import GenerateConfig
from seediff.dataset import native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.reviews import REVIEWS, in_effect
from seediff.look.redraw import Redraw
from seediff.run import generate as generating
from seediff.run.generate import generate

CONFIG = GenerateConfig(
    classes=("dog", "cat", "bus"), per_class=3, batch_size=2, keep_soft=True, keep_attention=True, device="cpu", threads=1
)
REJECTED = (0, 4, 8)


class Draw:
    """A stand-in for the model. hold: called before every drawing."""

    def __init__(self):
        self.drawn = []
        self.hold = lambda: None

    def __call__(self, specs):
        self.hold()
        self.drawn += [spec.index for spec in specs]
        return fake_draw(specs)


@pytest.fixture
def draw(monkeypatch):
    draw = Draw()
    monkeypatch.setattr(generating, "model_draw", lambda *args: draw)
    return draw


@pytest.fixture
def pets(tmp_path, draw):
    generate(CONFIG, tmp_path / "pets")
    draw.drawn.clear()
    return tmp_path / "pets"


def reject(client, numbers=REJECTED):
    for number in numbers:
        client.act(number, "reject", client.get(f"/api/samples/{number}")["version"])


def test_the_same_files_as_top_up_and_the_page_has_them(pets, draw, tmp_path):
    with running(pets) as (client, opened):
        assert client.get("/api/offers")["redraw"] is None
        reject(client)
        client.act(1, "accept", 0)
    shutil.copytree(pets, tmp_path / "command")
    with running(pets) as (client, opened):
        heard = Heard(opened)
        thumbs = [client.ask("GET", f"/api/samples/{i}/thumb").body for i in range(9)]
        attends = client.get("/api/samples/0/attends?x=9&y=9")
        assert client.get("/api/offers")["redraw"] == {"count": 3, "refused": ""}
        assert client.post("/api/job/redraw", {"count": 5}).json == {"samples": 3}
        assert heard.ended()["text"] == "3 drawn again"
        assert [client.get(f"/api/samples/{i}")["verdict"] for i in range(9)] == [None, "accepted", *[None] * 7]
        changed = [i for i in range(9) if client.ask("GET", f"/api/samples/{i}/thumb").body != thumbs[i]]
        assert changed == list(REJECTED)
        rows = {row["file_name"]: row for row in native.read_rows(pets)}
        assert client.get("/api/samples/4")["about"]["seed"] == rows["images/000004.png"]["seed"]
        assert client.get("/api/samples/0/attends?x=9&y=9") != attends
        client.act(4, "accept", client.get("/api/samples/4")["version"])
        assert client.get("/api/offers")["redraw"] is None
    assert sorted(draw.drawn) == list(REJECTED)
    generate(CONFIG, tmp_path / "command", top_up=True)
    here, there = contents(pets), contents(tmp_path / "command")
    here.pop(REVIEWS), there.pop(REVIEWS)
    assert here == there
    assert not check_dataset(pets).findings


def test_stopped_it_leaves_the_others_as_they_were(pets, draw):
    with running(pets) as (client, opened):
        heard = Heard(opened)
        corrected = client.labels(8) + np.uint8(1)
        client.paint(8, corrected, 0)
        reject(client)
        before, rows = contents(pets), native.read_rows(pets)

        def hold():
            assert client.act(8, "accept", 3).status == 400  # nobody decides about a picture that goes
            client.post("/api/job/stop", {})

        draw.hold = hold
        client.post("/api/job/redraw", {"count": 3})
        assert heard.ended()["text"] == "1 drawn again; 2 left as they were"
        assert [client.get(f"/api/samples/{i}")["verdict"] for i in REJECTED] == [None, "rejected", "rejected"]
        np.testing.assert_array_equal(client.labels(8), corrected)
        after, now = contents(pets), native.read_rows(pets)
        assert [i for i in range(9) if now[i] != rows[i]] == [0]
        assert all(after[path] == before[path] for path in before if "/00000" in path and "/000000" not in path)
        assert not check_dataset(pets).findings
        draw.hold = lambda: None
        client.post("/api/job/redraw", {"count": 1})  # the first of those that are left
        assert heard.ended()["text"] == "1 drawn again"
        assert [client.get(f"/api/samples/{i}")["verdict"] for i in REJECTED] == [None, None, "rejected"]
    generate(CONFIG, pets, top_up=True)  # the command goes on from there
    assert draw.drawn == [0, 4, 8]
    assert not check_dataset(pets).findings
    assert in_effect(pets)["000008"].verdict is None


def test_failed_it_goes_on_when_it_is_asked_for_again(pets, draw):
    def fail():
        if draw.drawn:
            raise OSError(28, "No space left on device")

    with running(pets) as (client, opened):
        heard = Heard(opened)
        reject(client)
        draw.hold = fail
        client.post("/api/job/redraw", {"count": 3})
        assert "No space left on device" in heard.ended()["text"]
        assert client.act(8, "accept", 2).status == 400
        draw.hold = lambda: None
        assert client.get("/api/offers")["redraw"]["count"] == 3
        client.post("/api/job/redraw", {"count": 3})
        assert heard.ended()["text"] == "3 drawn again"
        assert client.act(8, "accept", 2).status == 200
    assert draw.drawn == [0, 4, 8]
    assert not check_dataset(pets).findings


def test_what_failed_is_drawn_whole_though_fewer_are_asked_for_and_it_is_stopped(pets, draw, monkeypatch):
    """The sample whose files were being written has no way back; the one that was not begun has."""
    write = Redraw.write_sample

    def fail_between(self, record, out, spec, *args, **more):
        write(self, record, out, spec, *args, **more)
        if spec.index == 4 and draw.hold is not None:
            (out / "masks/000004.png").write_bytes(before["masks/000004.png"])  # as if only the picture had been written
            raise OSError(28, "No space left on device")

    with running(pets) as (client, opened):
        heard = Heard(opened)
        reject(client)
        before = contents(pets)
        monkeypatch.setattr(Redraw, "write_sample", fail_between)
        client.post("/api/job/redraw", {"count": 3})
        assert "No space left" in heard.ended()["text"]
        monkeypatch.setattr(Redraw, "write_sample", write)
        draw.hold = lambda: client.post("/api/job/stop", {})
        assert client.post("/api/job/redraw", {"count": 1}).status == 202
        assert heard.ended()["text"] == "2 drawn again; 1 left as they were"
        assert [client.get(f"/api/samples/{i}")["verdict"] for i in REJECTED] == [None, None, "rejected"]
    after = contents(pets)
    assert [name for name in ("masks/000004.png", "masks/000008.png") if after[name] == before[name]] == ["masks/000008.png"]
    assert not check_dataset(pets).findings


def test_what_is_no_longer_rejected_when_the_model_is_there_stays(pets, draw, monkeypatch):
    with running(pets) as (client, opened):
        heard = Heard(opened)
        reject(client)
        before = contents(pets)

        def load(*args):
            for i in REJECTED[: 3 if len(draw.drawn) else 1]:
                client.act(i, "accept", client.get(f"/api/samples/{i}")["version"])
            return draw

        monkeypatch.setattr(generating, "model_draw", load)
        client.post("/api/job/redraw", {"count": 3})
        assert heard.ended()["text"] == "2 drawn again"
        assert client.get("/api/samples/0")["verdict"] == "accepted"
        assert contents(pets)["images/000000.png"] == before["images/000000.png"]
        reject(client, [4, 8])
        client.post("/api/job/redraw", {"count": 3})
        assert heard.ended()["text"] == "none of them is rejected any more"
    assert draw.drawn == [4, 8]


def test_what_was_about_to_be_drawn_when_the_program_ended_waits(pets, draw):
    with running(pets) as (client, opened):
        reject(client)
        opened.session.clear([4])
    with running(pets) as (client, opened):
        heard = Heard(opened)
        assert client.act(4, "accept", 2).status == 400
        assert client.get("/api/offers")["redraw"]["count"] == 3
        client.post("/api/job/redraw", {"count": 1})
        assert heard.ended()["text"] == "1 drawn again"
        assert client.act(4, "accept", 2).status == 200
    assert draw.drawn == [4]
    assert not check_dataset(pets).errors


def test_an_empty_first_mask_is_no_reason(pets, draw):
    rows = native.read_rows(pets)
    (pets / "metadata.jsonl").write_bytes(native.jsonl([{**rows[0], "classes": [], "class_ids": [], "area": {}}, *rows[1:]]))
    with running(pets) as (client, _):
        reject(client, [1])
        assert client.get("/api/offers")["redraw"] == {"count": 1, "refused": ""}


def test_only_where_generate_made_the_set_and_its_model_is_here(pets, draw):
    about = (pets / "seediff.toml").read_text()
    for found, made, said in (('model = "mini"', 'model = "sd2-base"', "not on this machine"), ("version", "older", "of this version")):
        (pets / "seediff.toml").write_text(about.replace(found, made))
        with running(pets) as (client, _):
            reject(client, [0])
            assert said in client.get("/api/offers")["redraw"]["refused"]
            refused = client.post("/api/job/redraw", {"count": 1})
            assert (refused.status, said in refused.json["error"]) == (400, True)
    assert draw.drawn == []


def test_windows_are_told_how_long_it_will_take(pets, draw, monkeypatch):
    from seediff.look import many

    monkeypatch.setattr(many, "SOON", 0.0)
    with running(pets) as (client, opened):
        heard = Heard(opened)
        reject(client)
        client.post("/api/job/redraw", {"count": 3})
        wait_until(lambda: heard.reports and heard.reports[-1]["ended"])
        assert [report["text"] for report in heard.reports if report["text"].startswith("2 of 3 drawn again, about 0 s left")]
