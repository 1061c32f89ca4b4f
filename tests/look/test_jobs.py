import numpy as np
import pytest
from items import last_actions
from look_server import Heard, running, write_set

from seediff.look.index import BARS, Index, Query
from seediff.rows.row import as_row


@pytest.fixture
def pets(tmp_path):
    return write_set(tmp_path / "pets", 9)


def test_many_are_accepted_relabelled_and_undone_as_one(pets):
    with running(pets) as (client, opened):
        heard = Heard(opened)
        view = client.post("/api/views", {"sort": "order", "descending": True}).json["view"]  # 8, 7, …
        client.act(8, "accept", 0)
        client.act(5, "reject", 0)
        started = client.post("/api/job", {"view": view, "places": [[0, 2], [3, 5]], "action": "accept"}).json
        job = heard.ended()
        assert started == {"job": job["job"], "samples": 4}
        assert job["text"] == "3 accepted; 1 unchanged"
        assert {i for i in range(9) if client.get(f"/api/samples/{i}")["verdict"] == "accepted"} == {4, 5, 7, 8}
        client.act(4, "reject", 1)  # what somebody decides after it stays
        client.post("/api/job", {"action": "undo", "job": job["job"]})
        assert heard.ended()["text"] == "2 undone"
        assert [client.get(f"/api/samples/{i}")["verdict"] for i in (4, 5, 7, 8)] == [
            "rejected",
            "rejected",
            None,
            "accepted",
        ]

        before = [client.labels(i) for i in range(9)]
        client.post("/api/job", {"view": view, "places": [[0, 9]], "action": "relabel", "old": 1, "new": 2})
        job = heard.ended()
        assert job["changed"] == sum((labels == 1).any() for labels in before)
        for i, labels in enumerate(before):
            np.testing.assert_array_equal(client.labels(i), np.where(labels == 1, 2, labels))
        assert client.post("/api/job", {"view": view, "places": [[0, 9]], "action": "paint"}).status == 400
    with running(pets) as (client, opened):  # also after the server was started again
        heard = Heard(opened)
        client.post("/api/job", {"action": "undo", "job": job["job"]})
        assert heard.ended()["changed"] == job["changed"]
        for i, labels in enumerate(before):
            np.testing.assert_array_equal(client.labels(i), labels)
    assert last_actions(pets)["000000"].action == "undo"


def test_histograms_count_what_all_other_filters_leave():
    rng = np.random.default_rng(0)
    values = rng.random((50, 2))
    rows = [{"classes": ["dog"], "area": {"dog": area}, "confidence": {"dog": p}} for area, p in values.tolist()]
    del rows[0]["confidence"]
    values[0, 1] = np.nan
    areas, sure = values.T
    index = Index(("dog",), [*map(as_row, rows)], {})
    _, _, found = index.select(Query(bounds={"area": (0.5, 1.0)}))
    assert found["area"] == np.histogram(areas, BARS, (0, 1))[0].tolist()
    assert found["confidence"] == np.histogram(sure[(areas >= 0.5) & ~np.isnan(sure)], BARS, (0, 1))[0].tolist()
    assert sum(index.select(Query(text="none such"))[2]["area"]) == 0
