"""Layers of self- and cross-attention chosen apart, and kept apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import seediff
from seediff.attention.expected import expect_capture
from seediff.attention.maps import AttentionMaps
from seediff.attention.photograph import capture_images, join_maps
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.levels import check_levels
from seediff.errors import UserError
from seediff.models.groups import by_kind, layers_name
from seediff.models.registry import load_model


def see(model, layers="all", *, apart=False, groups=(), mean="arithmetic"):
    image = np.random.default_rng(0).integers(0, 256, (model.image_side, model.image_side, 3), dtype=np.uint8)
    config = CaptureConfig(layers=layers, apart=apart, mean=mean)
    seen = capture_images(model, [image], ["a photo of a dog"], [["dog"]], timesteps=(100, 400), seed=0, capture=config, groups=groups)
    return seen if groups else seen[config.layers][0]


def assert_same(found, wanted):
    assert list(found) == list(wanted)
    for grid, tensor in wanted.items():
        torch.testing.assert_close(found[grid], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("fixture", "cross", "own"), [("mini", "all", "last"), ("mini", "last", "up"), ("joint", "0", "1")])
def test_each_kind_has_its_own_layers(request, fixture, cross, own):
    model = load_model(str(request.getfixturevalue(f"{fixture}_folder")), device="cpu")
    both, of_cross, of_self = (see(model, layers) for layers in (f"{cross}/{own}", cross, own))
    assert_same(both.cross_attention, of_cross.cross_attention)
    assert_same(both.self_attention, of_self.self_attention)
    groups = see(model, groups=(f"{cross}/{own}", "all"))  # of one capture of all layers
    assert_same(groups[f"{cross}/{own}"][0].cross_attention, of_cross.cross_attention)
    assert_same(groups[f"{cross}/{own}"][0].self_attention, of_self.self_attention)


@pytest.mark.parametrize("layers", ["all", "all/last"])
def test_layers_apart(mini_model, tmp_path, layers):
    """Their means are the maps that there are without; as many are held as was said; files hold them."""
    maps, plain = see(mini_model, layers, apart=True), see(mini_model, layers)
    assert_same(maps.self_attention, plain.self_attention)
    assert_same(maps.cross_attention, plain.cross_attention)
    assert not plain.self_layers
    assert not plain.cross_layers
    for kind, means, held in (("attn1", maps.self_attention, maps.self_layers), ("attn2", maps.cross_attention, maps.cross_layers)):
        assert all(name.endswith(kind) for of_grid in held.values() for name in of_grid)
        assert_same({grid: torch.stack(list(of_grid.values())).mean(0) for grid, of_grid in held.items()}, means)
    assert {grid: len(of) for grid, of in maps.self_layers.items()} == (
        {(16, 16): 3, (8, 8): 3, (4, 4): 4} if layers == "all" else {(16, 16): 1, (8, 8): 1, (4, 4): 2}
    )
    about = (mini_model.network.config, "StableDiffusionPipeline", maps.latent_size)
    expected = expect_capture(mini_model.family, *about, CaptureConfig(layers=layers, apart=True))
    assert expected is not None
    assert str(expected).endswith("an image, layers apart")
    columns = mini_model.family.columns("StableDiffusionPipeline")
    sizes = [4 * (columns * len(tensor) if kind == "cross" else tensor.numel()) for kind, _, _, tensor in maps.tensors()]
    assert expected.map_bytes == sum(sizes)
    plain_bytes, geometric = (
        expect_capture(mini_model.family, *about, CaptureConfig(layers=layers, **more)).map_bytes for more in ({}, {"mean": "geometric"})
    )
    by_layer = [size for size, (kind, _, layer, _) in zip(sizes, maps.tensors(), strict=True) if kind == "cross" and layer]
    assert geometric - plain_bytes == sum(by_layer)
    maps.save(tmp_path / "a.safetensors")
    back = AttentionMaps.load(tmp_path / "a.safetensors")
    there = {(kind, grid, layer): tensor for kind, grid, layer, tensor in back.tensors()}
    assert len(there) == len(sizes)
    assert all(torch.equal(tensor, there[kind, grid, layer]) for kind, grid, layer, tensor in maps.tensors())


def test_layers_apart_of_several_sentences(mini_model):
    maps = see(mini_model, apart=True)
    joined = join_maps([maps, maps])
    name = "mid_block.attentions.0.transformer_blocks.0.attn"
    torch.testing.assert_close(joined.self_layers[4, 4][f"{name}1"], maps.self_layers[4, 4][f"{name}1"])
    assert torch.equal(joined.cross_layers[4, 4][f"{name}2"], torch.cat([maps.cross_layers[4, 4][f"{name}2"]] * 2, 1))


def test_in_a_script(mini_model):
    with seediff.capture(mini_model, layers="up/last", apart=True) as seen:
        mini_model.pipe("a photo of a dog", num_inference_steps=1)
    (maps,) = seen.maps
    assert [len(of) for of in maps.self_layers.values()] == [1, 1, 2]
    assert [len(of) for of in maps.cross_layers.values()] == [2, 2, 3]
    columns = next(iter(maps.cross_attention.values())).shape[1]
    assert columns == 77 or seen.expected().map_bytes >= sum(4 * tensor.numel() for *_, tensor in maps.tensors())


def test_levels_of_each_kind():
    """Of self- and cross-attention by themselves."""
    unet = {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]}
    check_levels(unet, MaskConfig(method="ca_sa", seed_level=2, self_level=1), CaptureConfig(layers="up/down"))
    with pytest.raises(UserError, match=r"^self_level = 1: the model has no attention at L/1 in its down/up layers; levels there: 2$"):
        check_levels(unet, MaskConfig(method="ca_sa", seed_level=1, self_level=1), CaptureConfig(layers="down/up"))


def test_their_names():
    assert by_kind("up") == {"self": "up", "cross": "up"}
    assert CaptureConfig(layers="2,1/0").layers == "1-2/0"
    assert CaptureConfig(layers="up/up").layers == "up"
    assert layers_name("all/3") == "cross-attention of all layers, self-attention of block 3"
    for wrong in ("up/", "/up", "a/b", "up/up/up", "/"):
        with pytest.raises(UserError, match=r"^layers = .* must be 'all'"):
            CaptureConfig(layers=wrong)


def test_the_geometric_mean_of_cross_attention_is_that_of_its_layers(mini_model):
    apart, means = see(mini_model, "up/last", apart=True), see(mini_model, "up/last", mean="geometric")
    for grid, values in means.cross_attention.items():
        of_layers = np.stack([tensor.double().numpy() for tensor in apart.cross_layers[grid].values()])
        assert values.numpy() == pytest.approx(np.exp(np.log(np.maximum(of_layers, 1e-6)).mean(0)), abs=1e-6)
    for grid, values in means.self_attention.items():
        assert values.numpy() == pytest.approx(apart.self_attention[grid].numpy(), abs=1e-6)
