import json

import numpy as np
import pytest
from look_server import running, write_set
from patience import wait_until
from PIL import Image

from seediff.dataset import native


@pytest.fixture
def pets(tmp_path):
    with running(write_set(tmp_path / "pets", 30)) as (client, opened):
        yield client, opened


def test_lists_by_filter_and_in_order(pets):
    client, opened = pets
    rows = [one.row for one in opened.session.subject.samples]
    assert client.numbers() == list(range(30))
    assert client.numbers(classes=[2]) == [i for i, row in enumerate(rows) if row["classes"] == ["cat"]]
    assert client.numbers(flags=["degenerate"]) == [6, 13, 20, 27]
    assert client.numbers(flags=["none"], classes=[1]) == [i for i in range(0, 30, 3) if not rows[i]["flags"]]
    assert client.numbers(text="POTTED") == list(range(2, 30, 3))
    assert client.numbers(text="00002") == [2, *range(20, 30)]
    areas = [next(iter(row["area"].values())) for row in rows]
    assert client.numbers(sort="area", descending=True) == sorted(range(30), key=lambda i: -areas[i])
    low, high = sorted(areas)[5], sorted(areas)[12]
    assert client.numbers(area=[low, high]) == [i for i, one in enumerate(areas) if low - 1e-6 <= one <= high + 1e-6]
    client.act(4, "accept", 0)
    client.act(9, "reject", 0)
    assert client.numbers(states=["accepted", "rejected"]) == [4, 9]
    assert client.numbers(sort="recent", descending=True)[:2] == [9, 4]
    counts = client.post("/api/views", {"classes": [1]}).json["counts"]
    assert counts["classes"] == {"1": 10, "2": 10, "3": 10}
    assert counts["states"] == {"unreviewed": 9, "accepted": 0, "rejected": 1, "corrected": 0}
    assert counts["flags"] == {"degenerate": 2, "none": 8}
    assert client.post("/api/views", {"sort": "colour"}).status == 400
    assert client.post("/api/views", {"classes": ["dog"]}).status == 400


def test_what_is_late_or_no_label_map_is_refused(pets):
    client, _ = pets
    labels = client.labels(5).copy()
    labels[3:9, 20:60] = 255
    assert client.paint(5, labels, 0).status == 200
    late = client.paint(5, labels, 0)
    assert (late.status, late.json["version"]) == (409, 1)
    assert client.ask("POST", "/api/samples/5/labels?tool=axe&version=1", b"").status == 400
    assert client.ask("POST", "/api/samples/5/labels?tool=brush&version=1", b"nothing").status == 400


@pytest.mark.parametrize("what", ["labels", "pieces"])
def test_a_version_is_never_newer_than_its_pixels(pets, what, monkeypatch):
    """Somebody acts while a label map is sent: what is made of it must be refused."""
    client, opened = pets
    read = opened.session.labels

    def slowly(number):
        labels = read(number)
        monkeypatch.undo()
        opened.session.act(number, 0, "relabel", labels=np.full_like(labels, 255))
        return labels

    monkeypatch.setattr(opened.session, "labels", slowly)
    assert client.ask("GET", f"/api/samples/0/{what}").headers["x-version"] == "0"
    assert client.ask("GET", f"/api/samples/0/{what}").headers["x-version"] == "1"


def test_pictures_are_what_they_are_and_not_what_they_are_called(tmp_path):
    out = write_set(tmp_path / "pets", 3)
    (out / "images/000000.png").write_bytes(b"<script>alert(1)</script>")
    Image.new("RGB", (64, 64)).save(out / "images/000001.png", "GIF")
    with running(out) as (client, _):
        broken = client.ask("GET", "/api/samples/0/image")
        assert (broken.status, broken.headers["content-type"]) == (400, "application/json")
        assert client.ask("GET", "/api/samples/1/image").headers["content-type"] == "image/jpeg"
        assert client.ask("GET", "/api/samples/2/image").headers["content-type"] == "image/png"
        assert client.ask("GET", "/api/samples/0/thumb").status == 400


def test_rows_that_lead_out_of_the_set_show_nothing_of_it(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "secret.png")
    out = write_set(
        tmp_path / "pets", 3, changes=[{"file_name": "../secret.png"}, {"mask": str(tmp_path / "secret.png")}]
    )
    with running(out) as (client, _):
        for path in ("0/image", "0/thumb", "1/labels", "1/thumb"):
            answer = client.ask("GET", f"/api/samples/{path}")
            assert (answer.status, "leads out" in answer.json["error"]) == (400, True)
        assert client.act(1, "accept", 0).status == 400


def test_output_of_segment_and_predict(tmp_path):
    from seediff.run.segment_files import coco, encode_segments, photo_row

    out, ids = tmp_path / "segments", {"dog": 1}
    labels = np.zeros((20, 30), np.int32)
    labels[5:, 10:] = 1
    for name in ("labels", "named", "overlays"):
        (out / name / "trip").mkdir(parents=True)
    (out / "labels/trip/a.png").write_bytes(encode_segments(labels))
    (out / "named/trip/a.png").write_bytes(native.encode_mask((labels == 1).astype(np.uint8)))
    Image.new("RGB", (30, 20)).save(out / "overlays/trip/a.jpg")
    row = {"photo": "trip/a", "file_name": "trip/a.jpg", **photo_row(labels, [1.0, 1.0], [(None, 0.1), ("dog", 0.9)])}
    (out / "segments.json").write_bytes(json.dumps(coco([row], ids)).encode())
    (out / "classes.txt").write_bytes(native.classes_text(["dog"]))
    with running(out) as (client, _):
        about = client.get("/api/samples/0")
        assert (about["name"], about["classes"], about["drawn"], about["about"]["segments"]) == ("trip/a", [1], True, 2)
        assert client.ask("GET", "/api/samples/0/thumb").status == 200
        view = client.post("/api/views", {}).json["view"]
        assert client.get(f"/api/views/{view}?begin=0&count=1")["samples"][0]["segments"] == 2
        assert "--" not in client.get("/api/samples/0/attention")["told"]  # no option of `segment` would help
        assert client.act(0, "relabel", 0, old=0, new=255).json["corrected"]
    assert (out / "reviewed/trip/a.1.png").is_file()

    predicted = tmp_path / "predicted"
    (predicted / "labels/trip").mkdir(parents=True)
    (predicted / "labels/trip/a.png").write_bytes(native.encode_mask((labels == 1).astype(np.uint8)))
    (predicted / "classes.txt").write_bytes(native.classes_text(["dog"]))
    (tmp_path / "photos/trip").mkdir(parents=True)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "photos/trip/a.png")
    with running(predicted, photos=[tmp_path / "photos"]) as (client, _):
        about = client.get("/api/samples/0")
        assert (about["picture"], about["drawn"]) == (True, False)
        assert client.ask("GET", "/api/samples/0/image").headers["content-type"] == "image/jpeg"
        wait_until(lambda: client.numbers(classes=[1]) == [0])  # the label maps are read meanwhile
        assert client.paint(0, np.ones((20, 30), np.uint8), 0).json["corrected"]


def test_what_is_none_of_the_three_is_refused(tmp_path):
    from seediff.errors import UserError
    from seediff.look.samples import open_subject

    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"neither a finished dataset .* \(it holds notes\.txt\); .*seediff import"):
        open_subject(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        open_subject(tmp_path / "none")
    with pytest.raises(UserError, match="is a file; name the folder"):
        open_subject(tmp_path / "notes.txt")
