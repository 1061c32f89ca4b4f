from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import stretch
from scipy.ndimage import gaussian_filter

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.masks.goca import goca, product_layers
from seediff.masks.make import soft_mask

ALL = ("layers", "rescale", "blur", "product")
BLOCKS = {"down_blocks.0": 16, "down_blocks.1": 8, "up_blocks.0": 8, "up_blocks.1": 16, "up_blocks.2": 16}


def layers_apart(blocks: dict[str, int] = BLOCKS, names: tuple[str, str] = ("attn1", "attn2"), seed: int = 0) -> AttentionMaps:
    """Blocks with a random layer of each kind, and weights 1, 2, 3, … of them."""
    generator = torch.Generator().manual_seed(seed)
    own, cross = {}, {}
    for block, side in blocks.items():
        shapes = ((side**2, side**2), (side**2, 8))
        for held, name, shape in zip((own, cross), names, shapes, strict=True):
            held.setdefault((side, side), {})[f"{block}.{name}"] = torch.randn(shape, generator=generator).mul(2).softmax(1)
    means = ({grid: torch.stack(list(of.values())).mean(0) for grid, of in held.items()} for held in (own, cross))
    own_mean, cross_mean = means
    words = {"dog": (5,), "cat": (2, 3)}
    weights = {f"{block}.{names[0]}": float(number) for number, block in enumerate(blocks, 1)}
    return AttentionMaps(
        own_mean, cross_mean, (16, 16), words, "a red cat, a dog", False, own, cross, content=(1, 2, 3, 5), agreement=weights
    )


def recipe(maps: AttentionMaps, class_name: str, parts: tuple[str, ...]) -> np.ndarray:
    total, weight = np.zeros((8, 16, 16)), 0.0
    for (side, _), layers in maps.cross_layers.items():
        for name, tensor in layers.items():
            share = maps.agreement[name.replace("attn2", "attn1")] if "layers" in parts else 1.0
            token = F.interpolate(tensor.double().T.reshape(1, 8, side, side), (16, 16), mode="bilinear", align_corners=False)
            total, weight = total + share * token[0].numpy(), weight + share
    total /= weight
    soft = total[list(maps.words[class_name])].mean(0)
    if "rescale" in parts:
        soft = soft / total[list(maps.content)].sum(0)
    if "blur" in parts:
        soft = gaussian_filter(soft, 1.1, mode="nearest", radius=2)
    soft = stretch(soft)
    if "product" in parts:
        names = ("down_blocks.0.attn1", "up_blocks.1.attn1", "up_blocks.2.attn1")
        rows = np.mean([maps.self_layers[16, 16][name].double().numpy() for name in names], 0)
        soft = stretch((rows @ rows @ soft.ravel() / 1).reshape(16, 16))
    return soft


@pytest.mark.parametrize("class_name", ["dog", "cat"])
@pytest.mark.parametrize("parts", [ALL, (), *((part,) for part in ALL), *(tuple(p for p in ALL if p != part) for part in ALL)])
def test_equals_the_equations_in_float64(class_name: str, parts: tuple):
    maps = layers_apart()
    result = goca(maps, class_name, MaskConfig(method="goca", parts=parts))
    np.testing.assert_allclose(result.soft.numpy(), recipe(maps, class_name, parts), atol=1e-4)
    steps = {"share of words": "rescale", "blur": "blur", "self-attention product 2 L": "product"}
    assert {part for step, part in steps.items() if step in map(str, result.trace)} == {*parts} - {"layers"}


def two_tokens(**about) -> AttentionMaps:
    values = torch.tensor([[0.2, 0.6], [0.3, 0.1]])
    one = {(1, 2): {"b.attn": values}}
    return AttentionMaps({}, {(1, 2): values}, (1, 2), {"dog": (0,)}, "", False, {}, one, agreement={"b.attn": 1.0}, **about)


def test_shares_of_words_by_hand():
    """Token values .2/.6 give .25, .3/.1 give .75."""
    config = MaskConfig(method="goca", parts=("layers", "rescale"))
    maps = two_tokens(content=(0, 1))
    share = maps.cross_attention[1, 2][:, 0] / maps.cross_attention[1, 2].sum(1)
    assert share.tolist() == pytest.approx([0.25, 0.75])
    assert goca(maps, "dog", config).soft.tolist() == [[0, 1]]
    swapped = AttentionMaps(**{**vars(maps), "words": {"dog": (1,)}})
    assert goca(swapped, "dog", config).soft.tolist() == [[1, 0]]  # .75, .25


def test_a_class_alone_among_the_words_is_not_a_share_of_itself():
    result = goca(two_tokens(content=(0,)), "dog", MaskConfig(method="goca", parts=("layers", "rescale")))
    assert result.soft.tolist() == [[0, 1]]
    assert "share of words" not in map(str, result.trace)


def test_a_layer_without_weight_has_no_part():
    maps = layers_apart()
    first = AttentionMaps(**{**vars(maps), "agreement": {"down_blocks.0.attn1": 3.0}})
    alone = maps.cross_layers[16, 16]["down_blocks.0.attn2"][:, 5].double().numpy().reshape(16, 16)
    np.testing.assert_allclose(goca(first, "dog", MaskConfig(method="goca", parts=("layers",))).soft.numpy(), stretch(alone), atol=1e-5)


def test_layers_of_joint_attention():
    maps = layers_apart({f"transformer_blocks.{number}": 16 for number in range(57)}, ("attn", "attn"))
    assert product_layers(list(maps.self_layers[16, 16])) == ["transformer_blocks.12.attn", "transformer_blocks.18.attn"]
    assert product_layers(["transformer_blocks.0.attn"]) == ["transformer_blocks.0.attn"]
    assert goca(maps, "dog", MaskConfig(method="goca")).soft.min() >= 0


@pytest.mark.parametrize(("name", "products"), [("attn1", 5), ("attn", 2)])
def test_pixart_has_more_products(name: str, products: int):
    cross = name.replace("1", "2")
    maps = layers_apart({f"transformer_blocks.{number}": 16 for number in range(4)}, (name, cross))
    result = goca(maps, "dog", MaskConfig(method="goca", parts=("product",)))
    assert [step.number for step in result.trace if step.kind == "self-attention product"] == list(range(1, products + 1))
    rows = maps.self_layers[16, 16][f"transformer_blocks.1.{name}"].double().numpy()  # at both depths, of four blocks
    start = np.mean([tensor[:, 5].double().numpy() for tensor in maps.cross_layers[16, 16].values()], 0)
    wanted = stretch((np.linalg.matrix_power(rows, products) @ stretch(start)).reshape(16, 16))
    np.testing.assert_allclose(result.soft.numpy(), wanted, atol=1e-3)


def test_what_it_cannot_be_made_of_is_refused_in_one_line():
    maps = layers_apart()
    with pytest.raises(UserError, match=r"^capture.apart = false: method goca weighs layers; use --capture-apart"):
        soft_mask(AttentionMaps(**{**vars(maps), "self_layers": {}, "cross_layers": {}}), "dog", MaskConfig(method="goca"))
    unweighted = AttentionMaps(**{**vars(maps), "agreement": {}})
    with pytest.raises(UserError, match=r"^method goca weighs layers by their self-attention, and none was captured"):
        soft_mask(unweighted, "dog", MaskConfig(method="goca"))
    assert soft_mask(unweighted, "dog", MaskConfig(method="goca", parts=("blur",))).soft.max() == 1
