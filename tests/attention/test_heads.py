"""Heads of cross-attention weighted by what they bring to the layer's output."""

import numpy as np
import pytest
import torch

import seediff
from seediff.attention.capture import capture_attention
from seediff.attention.heads import head_weights
from seediff.attention.maps import AttentionMaps
from seediff.attention.photograph import capture_images
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate import GenerateConfig
from seediff.errors import UserError
from seediff.masks.make import soft_mask
from seediff.models.families.unet import attention_layers
from seediff.models.registry import load_model

WEIGHTED = CaptureConfig(normalize=False, apart=True, heads="weighted")


def see(model, config):
    images = [np.random.default_rng(i).integers(0, 256, (model.image_side, model.image_side, 3), dtype=np.uint8) for i in range(2)]
    prompts, classes = ["a photo of a dog", "a photo of a cat"], [["dog"], ["cat"]]
    return capture_images(model, images, prompts, classes, timesteps=(100, 400), seed=0, capture=config)["all"]


def test_by_hand():
    """Head outputs (2, 0) and (0, 1) are .8 and .2 of ⟨o_n, o⟩; where nothing is put out, all heads count alike."""
    given = torch.tensor([[[2.0, 1.0], [0.0, 0.0]]])  # two heads of one channel each, two positions
    found = head_weights(given, given + 5, torch.eye(2), torch.tensor([5.0, 5.0]), 2)
    assert found[0, :, 0].tolist() == pytest.approx([2 * 0.8, 2 * 0.2])
    assert found[0, :, 1].tolist() == [1, 1]


def weighted_by_the_book(attention, hidden, text):
    """Σ_n w_n A_n (B, N, T) in float64, from every head's own output o_n."""
    heads = attention.heads
    query, key, value = (
        (x.double() @ layer.weight.double().T).unflatten(2, (heads, -1)).transpose(1, 2)
        for x, layer in ((hidden, attention.to_q), (text, attention.to_k), (text, attention.to_v))
    )
    maps = (query @ key.transpose(2, 3) * attention.scale).softmax(-1)  # (B, H, N, T)
    of_head = attention.to_out[0].weight.double().unflatten(1, (heads, -1)).permute(1, 2, 0)  # (H, D, C)
    outputs = maps @ value @ of_head
    agreed = (outputs * outputs.sum(1, keepdim=True)).sum(3)
    return (maps * (agreed / agreed.sum(1, keepdim=True))[..., None]).sum(1)


def test_equals_the_equation_in_float64(mini_model):
    unet, kept = mini_model.network, {}
    handles = [
        module.register_forward_pre_hook(
            lambda module, args, kwargs, name=name: kept.setdefault(name, []).append(
                weighted_by_the_book(module, args[0], kwargs["encoder_hidden_states"])
            ),
            with_kwargs=True,
        )
        for name, module in attention_layers(unet).items()
        if module.is_cross_attention
    ]
    try:
        with torch.no_grad():
            maps = see(mini_model, WEIGHTED)
    finally:
        for handle in handles:
            handle.remove()
    for image in range(2):
        for grid, layers in maps[image].cross_layers.items():
            for name, found in layers.items():
                wanted = torch.stack([one[image] for one in kept[name]]).mean(0)
                torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=1e-5)
            mean = torch.stack(list(layers.values())).mean(0)
            torch.testing.assert_close(maps[image].cross_attention[grid], mean)


def test_rows_still_sum_to_one_and_self_attention_is_the_same(mini_model, tmp_path):
    weighted = see(mini_model, WEIGHTED)[0]
    plain = see(mini_model, CaptureConfig(normalize=False, apart=True))[0]
    for grid, tensor in weighted.cross_attention.items():
        torch.testing.assert_close(tensor.sum(1), torch.ones(len(tensor)), atol=1e-5, rtol=0)
        assert torch.equal(weighted.self_attention[grid], plain.self_attention[grid])
    assert not all(torch.allclose(tensor, plain.cross_attention[grid]) for grid, tensor in weighted.cross_attention.items())
    assert (weighted.heads, plain.heads) == ("weighted", "mean")
    weighted.save(tmp_path / "a.safetensors")
    assert AttentionMaps.load(tmp_path / "a.safetensors").heads == "weighted"
    parts = ("heads", "layers", "blur", "product")
    assert soft_mask(weighted, "dog", MaskConfig(method="goca", parts=parts)).soft.max() == 1
    with pytest.raises(UserError, match=r"^part heads of goca needs maps with weighted heads"):
        soft_mask(plain, "dog", MaskConfig(method="goca", parts=parts))


def test_the_drawing_stays_the_same_with_guidance_and_in_blocks(mini_model, monkeypatch):
    call = {"prompt": "a photo of a dog", "num_inference_steps": 2, "output_type": "np"}

    def draw(**options):
        with seediff.capture(mini_model, normalize=False, **options) as seen:
            image = mini_model.pipe(**call, generator=torch.Generator().manual_seed(0)).images
        return image, seen.maps[0]

    image, maps = draw(heads="weighted")
    assert np.array_equal(image, draw()[0])
    monkeypatch.setattr("seediff.attention.probabilities.BLOCK_BYTES", {"cpu": 4096, "cuda": 4096})
    again = draw(heads="weighted")[1]
    for grid, tensor in maps.cross_attention.items():
        torch.testing.assert_close(again.cross_attention[grid], tensor)


def test_what_is_refused_in_one_line(mini_model, joint_folder):
    with pytest.raises(UserError, match=r"^capture.heads = weighted: needs plain means, .*; use --no-capture-normalize$"):
        CaptureConfig(heads="weighted")
    joint = load_model(str(joint_folder), device="cpu")
    with pytest.raises(UserError, match=r"^capture.heads = weighted: heads of joint attention, as in .*, are only averaged"):
        see(joint, WEIGHTED)
    with pytest.raises(UserError, match=r"^capture.heads = mean: part heads of goca needs them weighted"):
        GenerateConfig(("dog",), mask=MaskConfig(method="goca", parts=("heads",)), capture=CaptureConfig(normalize=False, apart=True))
    with pytest.raises(UserError, match=r"^compile = true: a compiled model does not give its heads' outputs"):
        GenerateConfig(("dog",), compile=True, capture=WEIGHTED)
    of_layer = next(module for module in attention_layers(mini_model.network).values() if module.is_cross_attention)
    plain = of_layer.to_out[0]
    of_layer.to_out[0] = torch.nn.Sequential(plain)
    try:
        with pytest.raises(UserError, match=r"sums up its heads by a Sequential: weighted heads need a plain linear layer"):
            see(mini_model, WEIGHTED)
    finally:
        of_layer.to_out[0] = plain
    with capture_attention(mini_model.network, CaptureConfig(), guidance=False):
        pass


def test_the_part_sets_the_capture():
    config = GenerateConfig.recommended(classes=("dog",), mask={"method": "goca", "parts": ("heads", "layers")})
    assert config.capture.heads == "weighted"
    assert not config.capture.normalize
