import json
from pathlib import Path

from seediff.models import fingerprint, model_files
from seediff.models.fingerprint import content_fingerprint, model_fingerprint
from seediff.models.model_files import locate_model


def test_one_byte_of_a_small_part_shows(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text(
        json.dumps({"_class_name": "P", "unet": ["diffusers", "U"], "safety_checker": [None, None]})
    )
    weights = tmp_path / "unet" / "w.safetensors"
    weights.write_bytes(bytes(5000))
    first = model_fingerprint(locate_model(str(tmp_path)))
    assert first == model_fingerprint(locate_model(str(tmp_path)))
    weights.write_bytes(bytes(4999) + b"1")
    assert model_fingerprint(locate_model(str(tmp_path))) != first
    weights.write_bytes(bytes(5000))
    (tmp_path / "seediff.json").write_text("{}")  # constants and classes are part of the configuration
    assert model_fingerprint(locate_model(str(tmp_path))) == first


def test_of_large_files_samples_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "WHOLE", 1000)
    monkeypatch.setattr(fingerprint, "SAMPLE_BYTES", 10)
    (tmp_path / "vae").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps({"vae": ["diffusers", "V"]}))
    weights = tmp_path / "vae" / "w.safetensors"
    weights.write_bytes(bytes(100_000))
    first = model_fingerprint(locate_model(str(tmp_path)))
    weights.write_bytes(bytes(99_999) + b"1")
    assert model_fingerprint(locate_model(str(tmp_path))) != first
    weights.write_bytes(bytes(100_001))
    assert model_fingerprint(locate_model(str(tmp_path))) != first


def test_of_a_hub_id_the_commit(monkeypatch):
    for here, expected in ((Path("/cache/snapshots/abc123"), "commit:abc123"), (None, "")):
        monkeypatch.setattr(model_files, "local_folder", lambda hub_id, here=here: here)
        assert model_fingerprint(locate_model("owner/name")) == expected


def test_files_behind_links_count(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").write_bytes(b"12")
    data = tmp_path / "data"
    data.mkdir()
    empty = content_fingerprint(data)
    (data / "images").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "round").symlink_to(tmp_path / "disk")  # a circle ends
    first = content_fingerprint(data)
    assert first != empty
    (tmp_path / "disk" / "a.png").write_bytes(b"123")
    assert content_fingerprint(data) not in (first, empty)
