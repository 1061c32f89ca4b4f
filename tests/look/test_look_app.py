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
