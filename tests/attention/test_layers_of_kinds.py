import numpy as np
import pytest
import torch
from builders.items import noise_pixels
from builders.plans import capturing, expected_of, layer_maps, plan_of
from diffusers import UNet2DConditionModel

from recipes.studies.capture import capture_images
from seediff.attention.see_photos import encode_images, run_noised
from seediff.config.methods import CaptureConfig
from seediff.models.families.unet import attention_layers


def image_of(model):
    return noise_pixels(model.sizes.side, model.sizes.side)


def see(model, layers="all", mean="arithmetic"):
    how = {"timesteps": (100, 400), "seed": 0, "plan": plan_of(model, CaptureConfig(layers=layers, mean=mean))}
    return capture_images(model, [image_of(model)], ["a photo of a dog"], [["dog"]], **how)[0]


def layers_of(model, layers, kind):
    """(h, w) → the map of each layer."""
    with capturing(model.network, CaptureConfig(layers=layers), per_layer=True) as recorder:
        latents, how = encode_images(model, [image_of(model)]), {"timesteps": (100, 400), "seed": 0, "indices": [0]}
        run_noised(model, latents, ["a photo of a dog"], **how)
    return {grid: list(of_grid.values()) for grid, of_grid in layer_maps(recorder, kind, 0).items()}


def assert_same(found, wanted):
    assert list(found) == list(wanted)
    for grid, tensor in wanted.items():
        torch.testing.assert_close(found[grid], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "cross", "own"),
    [("unet", "last", "up"), ("sd3", "0", "1"), pytest.param("unet", "all", "last", marks=pytest.mark.slow)],
)
def test_each_kind_has_its_own_layers(loaded, kind, cross, own):
    model = loaded(kind)
    both, of_cross, of_self = (see(model, layers) for layers in (f"{cross}/{own}", cross, own))
    assert_same(both.cross_attention, of_cross.cross_attention)
    assert_same(both.self_attention, of_self.self_attention)


def test_with_a_geometric_mean_each_layers_map_of_the_text_is_held(mini_model):
    layers = "all/last"
    plain, geometric = (
        expected_of(mini_model, CaptureConfig(layers=layers, mean=mean), size=(16, 16)).map_bytes
        for mean in ("arithmetic", "geometric")
    )
    columns = mini_model.family.text_columns
    assert geometric - plain == sum(
        4 * columns * h * w * len(held) for (h, w), held in layers_of(mini_model, layers, "cross").items()
    )


def test_the_geometric_mean_of_cross_attention_is_that_of_its_layers(mini_model):
    means, plain = (see(mini_model, "up/last", mean=mean) for mean in ("geometric", "arithmetic"))
    for grid, held in layers_of(mini_model, "up/last", "cross").items():
        of_layers = np.stack([tensor.double().numpy() for tensor in held])
        expected = np.exp(np.log(np.maximum(of_layers, 1e-6)).mean(0))
        assert means.cross_attention[grid].numpy() == pytest.approx(expected, abs=1e-6)
    assert_same(means.self_attention, plain.self_attention)


def test_gligens_attention_to_boxes_is_left_out():
    blocks = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    unet = UNet2DConditionModel(
        down_block_types=blocks[0],
        up_block_types=blocks[1],
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        attention_type="gated",
    )
    assert any(".fuser." in name for name in unet.attn_processors)
    assert {name.rpartition(".")[2] for name in attention_layers(unet)} == {"attn1", "attn2"}
