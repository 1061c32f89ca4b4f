from pathlib import Path

import pytest
from builders.layouts import save
from builders.refusals import user_error

from seediff.models import fingerprint
from seediff.models import locate as names
from seediff.models.fingerprint import content_fingerprint, model_fingerprint, weights_fingerprint
from seediff.models.locate import locate


@pytest.mark.parametrize("whole", [1000, 1 << 20])
def test_one_byte_shows(tmp_path, monkeypatch, whole):
    """Also of large files, of which samples are read."""
    monkeypatch.setattr(fingerprint, "WHOLE", whole)
    monkeypatch.setattr(fingerprint, "SAMPLE_BYTES", 10)
    parts = {"_class_name": "P", "unet": ["diffusers", "U"], "safety_checker": [None, None]}
    save(tmp_path / "model_index.json", parts)

    def of(weights):
        save(tmp_path / "unet/w.safetensors", weights)
        return model_fingerprint(locate(str(tmp_path)))

    first = of(bytes(100_000))
    assert of(bytes(99_999) + b"1") != first
    assert of(bytes(100_001)) != first
    save(tmp_path / "seediff.json", {})  # constants and classes are part of the configuration
    assert of(bytes(100_000)) == first


def test_of_a_hub_id_the_commit(monkeypatch):
    for here, expected in ((Path("/cache/snapshots/abc123"), "commit:abc123"), (None, "")):
        monkeypatch.setattr(names, "cached_folder", lambda hub_id, here=here: here)
        assert model_fingerprint(locate("owner/name")) == expected


def test_further_weights_follow_under_the_names_of_their_options(mini_folder, tmp_path):
    save(tmp_path / "style.safetensors", bytes(10))
    style, files = str(tmp_path / "style.safetensors"), locate(str(mini_folder))
    digest = content_fingerprint(tmp_path / "style.safetensors")
    assert weights_fingerprint(files, lora=style, sam=None) == f"{model_fingerprint(files)}+{digest}"
    with user_error(rf"^lora: {style}2: no such \.safetensors file"):
        weights_fingerprint(files, lora=f"{style}2")


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
