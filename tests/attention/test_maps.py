import torch
from random_maps import random_maps

from seediff.attention.maps import AttentionMaps


def test_saved_maps_are_loaded_again(tmp_path):
    maps = random_maps((8, 12))
    maps.save(tmp_path / "a.safetensors")
    back = AttentionMaps.load(tmp_path / "a.safetensors")
    assert (back.latent_size, back.words, back.prompt) == (maps.latent_size, maps.words, maps.prompt)
    for (*where, found), (*there, tensor) in zip(back.tensors(), maps.tensors(), strict=True):
        assert where == there
        assert torch.equal(found, tensor)
