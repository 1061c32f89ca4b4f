import json

import torch
from random_maps import random_maps
from safetensors import safe_open

from seediff.attention.maps import AttentionMaps


def test_saved_maps_are_loaded_again(tmp_path):
    """Of a square as ever, so that the bytes stay; of a rectangle with height and width."""
    for size, names, side in (
        ((8, 8), ("self.8", "self.4", "self.2"), 8),
        ((8, 12), ("self.8,12", "self.4,6", "self.2,3"), [8, 12]),
    ):
        maps = random_maps(size)
        maps.save(tmp_path / "a.safetensors")
        with safe_open(tmp_path / "a.safetensors", "pt") as file:
            assert {name for name in file.keys() if name.startswith("self")} == set(names)  # noqa: SIM118
            assert json.loads(file.metadata()["seediff"])["latent_side"] == side
        back = AttentionMaps.load(tmp_path / "a.safetensors")
        assert (back.latent_size, back.words, back.prompt) == (maps.latent_size, maps.words, maps.prompt)
        for (*where, found), (*there, tensor) in zip(back.tensors(), maps.tensors(), strict=True):
            assert where == there
            assert torch.equal(found, tensor)
