import torch
from builders.families import SPECS, generate

from seediff.attention.see_photos import capture_clean, encode_images

N = 4 * 4


def test_the_first_blocks_see_the_image_alone(model):
    layers = model.family.layers(model.network)
    assert [name.split(".")[0] for name in layers] == ["noise_refiner", "layers", "layers"]
    (maps,) = capture_clean(
        model, encode_images(model, generate(model, SPECS[:1])[0]), ["a dog"], [["dog"]], timestep=300, kind="self"
    )
    torch.testing.assert_close(maps.self_attention[4, 4].sum(1), torch.ones(N))
