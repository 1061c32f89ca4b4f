"""The weights of layers kept apart, and the words that mean something, in what is captured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import seediff
from seediff.attention.agreement import agreement
from seediff.attention.maps import AttentionMaps
from seediff.attention.photograph import capture_images, join_maps
from seediff.config.constants import CaptureConfig
from seediff.models.registry import load_model


def test_by_hand():
    """R = I: self-attention I gives the number of positions, uniform self-attention 1."""
    features = 1e4 * torch.eye(4)
    layers = {(2, 2): {"same": torch.eye(4), "uniform": torch.full((4, 4), 0.25)}, (4, 4): {"finer": torch.full((16, 16), 0.3)}}
    assert agreement(layers, features, (2, 2)) == pytest.approx({"same": 4, "uniform": 1, "finer": 1})


@pytest.mark.parametrize(("of", "grid"), [((4, 6), (4, 6)), ((4, 6), (2, 3)), ((2, 3), (4, 6))])
def test_equals_the_equation_in_float64(of, grid):
    generator = torch.Generator().manual_seed(0)
    positions, there = of[0] * of[1], grid[0] * grid[1]
    rows, features = torch.rand(positions, positions, generator=generator), torch.randn(there, 5, generator=generator)
    own = rows.double().reshape(*of, *of)
    if grid > of:
        for _ in range(2):
            own = F.interpolate(own.flatten(0, 1)[None], grid, mode="bilinear", align_corners=False)[0].unflatten(0, own.shape[:2])
            own = own.permute(2, 3, 0, 1)
    elif grid < of:
        own = own.reshape(2, 2, 3, 2, 2, 2, 3, 2).mean((1, 3, 5, 7))
    own = own.reshape(there, there).numpy()
    f = features.double().numpy()
    scores = np.exp(f @ f.T / np.sqrt(5))
    expected = ((own / own.sum(1, keepdims=True)) * (scores / scores.sum(1, keepdims=True))).sum()
    assert agreement({of: {"a": rows}}, features, grid)["a"] == pytest.approx(expected, rel=1e-5)


def see(model, apart=True):
    image = np.random.default_rng(0).integers(0, 256, (model.image_side, model.image_side, 3), dtype=np.uint8)
    capture = CaptureConfig(apart=apart)
    return capture_images(model, [image], ["a photo of a dog"], [["dog"]], timesteps=(100, 400), seed=0, capture=capture)["all"][0]


@pytest.mark.parametrize(
    ("fixture", "reference"),
    [("mini", "up_blocks.1.attentions.1.transformer_blocks.0.attn2"), ("joint", "transformer_blocks.1.attn")],
)
def test_what_a_capture_holds(request, tmp_path, fixture, reference):
    model = load_model(str(request.getfixturevalue(f"{fixture}_folder")), device="cpu")
    assert model.family.reference(model.family.layers(model.network)) == reference
    maps, plain = see(model), see(model, apart=False)
    assert {name for of in maps.self_layers.values() for name in of} == set(maps.agreement)
    assert all(value > 0 for value in maps.agreement.values())
    assert not plain.agreement
    assert maps.content == plain.content == maps.words["dog"]
    maps.save(tmp_path / "a.safetensors")
    back = AttentionMaps.load(tmp_path / "a.safetensors")
    assert (back.content, back.agreement) == (maps.content, maps.agreement)
    assert [where[:3] for where in back.tensors()] == [where[:3] for where in maps.tensors()]  # the network's order
    joined = join_maps([maps, maps])
    columns = next(iter(maps.cross_attention.values())).shape[1]
    assert joined.content == (*maps.content, *(columns + column for column in maps.content))
    assert joined.agreement == pytest.approx(maps.agreement)


def test_in_a_script(mini_model):
    with seediff.capture(mini_model, keep="goca") as seen:
        mini_model.pipe("a photo of a dog and a cat", num_inference_steps=1)
    (maps,) = seen.maps
    assert maps.content == tuple(sorted(column for word in ("dog", "cat") for column in maps.words[word]))
    assert maps.agreement
    assert seen.masks("dog", "cat").label_map.any()
