from unittest import mock

import torch

from seediff.cli.main import main


def test_a_full_memory_names_what_to_change(tmp_path, monkeypatch, capsys):
    full = mock.Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr("seediff.models.registry.load_model", full)
    assert main(["generate", "--classes", "dog", "--quiet", "--out", str(tmp_path / "set")]) == 2
    said = "the device is out of memory; use a smaller --batch-size or --size, or --offload model on a GPU"
    assert capsys.readouterr().err == f"seediff: {said}\n"
