import json

import pytest
from items import write_rows
from look_server import running, write_set
from patience import wait_until
from PIL import Image

from seediff.dataset.renames import open_set


@pytest.fixture
def pets(tmp_path):
    with running(write_set(tmp_path / "pets", 30)) as (client, opened):
        yield client, opened


def test_lists_by_filter_and_in_order(pets):
    client, opened = pets
    rows = [one.metadata for one in opened.store.samples]
    assert client.numbers() == list(range(30))
    assert client.numbers(classes=[2]) == [i for i, row in enumerate(rows) if row["classes"] == ["cat"]]
    assert client.numbers(flags=["degenerate"]) == [6, 13, 20, 27]
    assert client.numbers(flags=["none"], classes=[1]) == [i for i in range(0, 30, 3) if not rows[i]["flags"]]
    assert client.numbers(text="POTTED") == list(range(2, 30, 3))
    assert client.numbers(text="00002") == [2, *range(20, 30)]
    areas = [next(iter(row["area"].values())) for row in rows]
    assert client.numbers(sort="area", descending=True) == sorted(range(30), key=lambda i: -areas[i])
    low, high = sorted(areas)[5], sorted(areas)[12]
    between = [i for i, one in enumerate(areas) if low - 1e-6 <= one <= high + 1e-6]
    assert client.numbers(bounds={"area": [low, high]}) == between
    client.act(4, "accept", 0)
    client.act(9, "reject", 0)
    assert client.numbers(states=["accepted", "rejected"]) == [4, 9]
    counts = client.post("/api/views", {"classes": [1]}).json["counts"]
    assert counts["classes"] == {"1": 10, "2": 10, "3": 10}
    assert counts["states"] == {"unreviewed": 9, "accepted": 0, "rejected": 1, "corrected": 0}
    assert counts["flags"] == {"degenerate": 2, "none": 8}
    assert client.post("/api/views", {"sort": "colour"}).status == 400
    assert client.post("/api/views", {"classes": ["dog"]}).status == 400


@pytest.mark.parametrize("number", ["30", "9" * 10, "9" * 5000, "-1", "1.0", "%D9%A1"])
def test_a_number_of_no_sample_is_not_found(pets, number):
    client, _ = pets
    view = client.post("/api/views", {}).json["view"]
    for path in ("", "/thumb", "/image", "/labels", "/pieces", "/attention"):
        assert client.ask("GET", f"/api/samples/{number}{path}").status == 404
    assert client.ask("GET", f"/api/views/{view}/{number}").status == (200 if number == "30" else 404)


def test_a_page_says_whether_it_renames_or_joins(pets):
    """Another window may have changed the names since the page asked its person."""
    client, opened = pets

    def ask(**request):
        answer = client.post("/api/classes/name", request)
        return answer.status, answer.json.get("error")

    assert ask(id=1, name="cat") == (400, "another class is called cat now")
    assert ask(id=1, name="hound", join=True) == (400, "no other class is called hound now")
    assert ask(id=1, name="dog", join=True) == (400, "no other class is called dog now")
    assert ask(id=2, name="Ka\u0308tzchen")[0] == 200
    assert ask(id=1, name="Ka\u0308tzchen")[0] == 400
    assert opened.store.class_names.names == ("dog", "K\xe4tzchen", "potted plant")
    assert ask(id=1, name="K\xe4tzchen", join=True)[0] == 202
    wait_until(lambda: opened.store.class_names.names[0] == "")
    assert client.numbers(classes=[2]) == [i for i in range(30) if i % 3 < 2]


def test_a_class_that_rows_name_without_a_pixel_is_joined_and_removed(tmp_path):
    out = write_set(tmp_path / "pets", 4, changes=[{}, {"classes": ["cat", "dog"], "class_ids": [2, 1]}])
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    rows[1]["area"]["dog"] = 0.0
    write_rows(out, rows)
    with running(out) as (client, opened):
        assert client.post("/api/classes/name", {"id": 1, "name": ""}).json["error"].startswith("masks show dog")
        assert client.post("/api/classes/name", {"id": 1, "name": "cat", "join": True}).status == 202
        wait_until(lambda: opened.store.class_names.names[0] == "")
        assert client.get("/api/set")["classes"] == ["", "cat", "potted plant"]
    classes, samples = open_set(out)
    assert (classes, samples[1].row.named) == (("cat", "potted plant"), ("cat",))


def test_images_are_what_they_are_and_not_what_they_are_called(tmp_path):
    out = write_set(tmp_path / "pets", 3)
    (out / "images/000000.png").write_bytes(b"<script>alert(1)</script>")
    Image.new("RGB", (64, 64)).save(out / "images/000001.png", "GIF")
    with running(out) as (client, _):
        broken = client.ask("GET", "/api/samples/0/image")
        assert (broken.status, broken.headers["content-type"]) == (400, "application/json")
        assert "is GIF data" in client.ask("GET", "/api/samples/1/image").json["error"]
        assert client.ask("GET", "/api/samples/2/image").headers["content-type"] == "image/png"
        assert client.ask("GET", "/api/samples/0/thumb").status == 400
