import pytest
from look_server import running, write_set


@pytest.fixture
def pets(tmp_path):
    with running(write_set(tmp_path / "pets", 30)) as (client, opened):
        yield client, opened


@pytest.mark.parametrize("number", ["30", "9" * 10, "9" * 5000, "-1", "%D9%A1"])
def test_a_number_of_no_sample_is_not_found(pets, number):
    client, _ = pets
    for path in ("", "/thumb", "/image", "/labels", "/pieces", "/attention"):
        assert client.ask("GET", f"/api/samples/{number}{path}").status in (400, 404)


def test_a_request_about_too_many_samples_is_refused_at_once(pets):
    client, _ = pets
    answer = client.post("/api/act", {"action": "accept", "samples": [(n, 0) for n in range(1001)]})
    assert (answer.status, b"must be a list of length <= 1000" in answer.body) == (400, True), answer.body
