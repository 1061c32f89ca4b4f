import pytest
from look_server import running, write_set
from PIL import Image


@pytest.fixture
def pets(tmp_path):
    with running(write_set(tmp_path / "pets", 30)) as (client, opened):
        yield client, opened


@pytest.mark.parametrize("number", ["30", "9" * 10, "9" * 5000, "-1", "%D9%A1"])
def test_a_number_of_no_sample_is_not_found(pets, number):
    client, _ = pets
    for path in ("", "/thumb", "/image", "/labels", "/pieces", "/attention"):
        assert client.ask("GET", f"/api/samples/{number}{path}").status in (400, 404)


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
