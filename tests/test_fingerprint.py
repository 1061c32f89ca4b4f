import json

from seediff import fingerprint
from seediff.fingerprint import model_fingerprint


def test_one_byte_of_a_small_part_shows(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "P", "unet": ["diffusers", "U"], "safety_checker": [None, None]}))
    weights = tmp_path / "unet" / "w.safetensors"
    weights.write_bytes(bytes(5000))
    first = model_fingerprint(str(tmp_path))
    assert first == model_fingerprint(str(tmp_path))
    weights.write_bytes(bytes(4999) + b"1")
    assert model_fingerprint(str(tmp_path)) != first
    weights.write_bytes(bytes(5000))
    (tmp_path / "seediff.json").write_text("{}")  # constants and classes are part of the configuration
    assert model_fingerprint(str(tmp_path)) == first


def test_of_large_files_samples_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "WHOLE", 1000)
    monkeypatch.setattr(fingerprint, "SAMPLE_BYTES", 10)
    (tmp_path / "vae").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps({"vae": ["diffusers", "V"]}))
    weights = tmp_path / "vae" / "w.safetensors"
    weights.write_bytes(bytes(100_000))
    first = model_fingerprint(str(tmp_path))
    weights.write_bytes(bytes(99_999) + b"1")
    assert model_fingerprint(str(tmp_path)) != first
    weights.write_bytes(bytes(100_001))
    assert model_fingerprint(str(tmp_path)) != first


def test_of_a_hub_id_the_commit(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "/cache/snapshots/abc123/model_index.json")
    assert model_fingerprint("owner/name") == "commit:abc123"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    assert model_fingerprint("owner/name") == ""
