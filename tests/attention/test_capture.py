"""Captured maps against a naive capture that keeps everything, and what capture must leave alone."""

import re
from collections import defaultdict
from typing import Any

import pytest
import torch
from builders.plans import capturing
from builders.pretended import Pretended
from diffusers.models.attention_processor import AttnProcessor

import seediff.attention.probabilities
from seediff.attention.maps import AttentionMaps
from seediff.attention.probabilities import Part, Scratch, add_probabilities
from seediff.config.constants import CaptureConfig
from seediff.errors import UserError
from seediff.models.families.unet import attention_layers

STEPS = 3
CONTEXT = 7


class KeepEverything:
    """The published way: eager attention, and the probabilities of every layer, step and head in a list."""

    def __init__(self, name: str, kept: list) -> None:
        self.name, self.kept = name, kept

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states)).double()
        key = attn.head_to_batch_dim(attn.to_k(context)).double()
        scores = query @ key.transpose(1, 2) * attn.scale
        if attention_mask is not None:
            scores = scores + attn.prepare_attention_mask(attention_mask, context.shape[1], len(hidden_states))
        self.kept.append((self.name, scores.softmax(-1).unflatten(0, (-1, attn.heads))))
        return AttnProcessor()(attn, hidden_states, encoder_hidden_states, attention_mask)


def naive_maps(kept: list, images: int, normalize: bool = True) -> dict[tuple[str, int], torch.Tensor]:
    """Equation 5 in float64: (kind, N) → (images, N, T), of the last `images` of each batch."""
    by_size = defaultdict(list)
    for name, probabilities in kept:
        mean = probabilities[-images:].mean(1)
        kind = "self" if "attn1" in name else "cross"
        if normalize:
            mean = mean / (mean.amax((1, 2), keepdim=True) if kind == "self" else mean.amax(1, keepdim=True))
        by_size[kind, mean.shape[1]].append(mean)
    return {where: torch.stack(maps).mean(0) for where, maps in by_size.items()}


def inputs(unet, images: int, step: int, guidance: bool, only: slice = slice(None), size: tuple[int, int] = (16, 16)):
    """Latents, timestep and context of one UNet call; the same for both halves of the batch but for the context."""
    width = unet.config.cross_attention_dim
    latents = torch.randn(images, 4, *size, generator=torch.Generator().manual_seed(100 + step))[only]
    context = torch.randn(images, CONTEXT, width, generator=torch.Generator().manual_seed(1))[only]
    if guidance:
        latents, context = torch.cat([latents, latents]), torch.cat([torch.zeros_like(context), context])
    return {"sample": latents, "timestep": 900 - 100 * step, "encoder_hidden_states": context}


@torch.no_grad()
def run(unet, *, images=2, steps=STEPS, guidance=True, only=slice(None), size=(16, 16), **more):
    return [unet(**inputs(unet, images, step, guidance, only, size), **more).sample for step in range(steps)]


def captured(
    unet,
    config=CaptureConfig(),  # noqa: B008
    *,
    images=2,
    guidance=True,
    only=slice(None),
    steps=STEPS,
    size=(16, 16),
    **options,
) -> list[AttentionMaps]:
    with capturing(unet, config, **options, guidance=guidance, total_steps=steps) as recorder:
        run(unet, images=images, guidance=guidance, only=only, steps=steps, size=size)
    count = recorder.images or 0
    return recorder.maps([{"dog": (2,)}] * count, ["a dog"] * count)


def assert_equal_maps(a: AttentionMaps, b: AttentionMaps, atol: float) -> None:
    for (*where, left), (*there, right) in zip(a.tensors(), b.tensors(), strict=True):
        assert where == there
        torch.testing.assert_close(left, right, atol=atol, rtol=0)


@pytest.fixture(params=["sd1_model", "sd2_model", "mini_model"])
def unet(request):
    return request.getfixturevalue(request.param).pipe.unet


@pytest.mark.parametrize(
    ("guidance", "normalize", "size"),
    [(True, True, (16, 16)), (True, False, (16, 24)), (False, False, (32, 8))],
)
def test_equals_naive_eager_capture(unet, guidance, normalize, size):
    maps = captured(unet, CaptureConfig(normalize=normalize), guidance=guidance, size=size)
    found, kept = unet.attn_processors, []
    unet.set_attn_processor({key: KeepEverything(key, kept) for key in found})
    run(unet, guidance=guidance, size=size)
    unet.set_attn_processor(dict(found))
    expected = naive_maps(kept, 2, normalize)
    levels = [level for level in (1, 2, 4, 8) if ("self", size[0] * size[1] // level**2) in expected]
    for image, of in enumerate(maps):
        assert of.latent_size == size
        grids = [(size[0] // level, size[1] // level) for level in levels]
        assert list(of.self_attention) == list(of.cross_attention) == grids
        for kind, (height, width), found in of.tensors():
            book = expected[kind, height * width][image]
            torch.testing.assert_close(found.double(), book, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(9, 13), (5, 16)])
def test_sides_that_cannot_be_halved_evenly(mini_model, size):
    maps = captured(mini_model.pipe.unet, size=size, guidance=False)[0]
    assert list(maps.self_attention) == [tuple(-(-side // level) for side in size) for level in (1, 2, 4)]
    for level in (1, 2, 4):
        assert torch.equal(maps.self_at(level), maps.self_attention[maps.grid(level)])
        wanted = captured(mini_model.pipe.unet, size=size, guidance=False, reads={"self": (level,)})[0]
        assert torch.equal(wanted.self_at(level), maps.self_at(level))


def test_output_is_bit_identical_and_the_unet_is_left_as_it_was(unet):
    found = unet.attn_processors
    plain = run(unet)
    with capturing(unet, guidance=True):
        recorded = run(unet)
    assert all(torch.equal(a, b) for a, b in zip(plain, recorded, strict=True))
    assert unet.attn_processors == found
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in unet.modules())


def test_the_unet_is_left_as_it_was_after_an_exception(sd1_model):
    unet = sd1_model.pipe.unet
    found = unet.attn_processors
    # in the midst of a UNet call
    interrupt = unet.mid_block.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt), capturing(unet, guidance=True):
        run(unet)
    interrupt.remove()
    assert unet.attn_processors == found
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in unet.modules())
    assert captured(unet)  # and can be captured again


def test_block_size_changes_nothing(sd2_model, monkeypatch):
    unet = sd2_model.pipe.unet
    whole = captured(unet, images=3, steps=1)
    for size in (10_000, 200_000):
        monkeypatch.setitem(seediff.attention.probabilities.BLOCK_BYTES, "cpu", size)
        assert_equal_maps(captured(unet, images=3, steps=1)[1], whole[1], 1e-6)


def test_levels(sd1_model):
    whole = captured(sd1_model.pipe.unet)[0]
    maps = captured(sd1_model.pipe.unet, reads={"self": (1, 4), "cross": (2,)})[0]
    assert list(maps.self_attention) == [(16, 16), (4, 4)]
    assert list(maps.cross_attention) == [(8, 8)]
    assert all(torch.equal(one, whole.self_attention[grid]) for grid, one in maps.self_attention.items())
    assert torch.equal(maps.cross_attention[8, 8], whole.cross_attention[8, 8])
    words = captured(sd1_model.pipe.unet, reads={"cross": None})[0]
    assert not words.self_attention
    assert list(words.cross_attention) == list(whole.cross_attention)


@pytest.mark.parametrize(
    ("chosen", "steps", "recorded"),
    [("second-half", 5, [2, 3, 4]), (2, 5, [0, 2, 4])],
)
def test_steps(sd1_model, chosen, steps, recorded):
    unet = sd1_model.pipe.unet
    maps = captured(unet, CaptureConfig(steps=chosen), steps=steps)
    one_by_one = []
    for step in recorded:
        with capturing(unet, guidance=True) as recorder, torch.no_grad():
            unet(**inputs(unet, 2, step, True))
        one_by_one.append(recorder.maps([{}] * 2, [""] * 2)[0].self_attention[16, 16])
    torch.testing.assert_close(maps[0].self_attention[16, 16], torch.stack(one_by_one).mean(0), atol=1e-5, rtol=0)


def test_attention_that_is_not_a_number_names_the_layer(sd1_model):
    unet = sd1_model.pipe.unet
    name = "up_blocks.1.attentions.0.transformer_blocks.0.attn1"
    weight = unet.get_submodule(name).to_q.weight
    kept = weight.detach().clone()
    weight.data.fill_(float("inf"))
    try:
        with pytest.raises(UserError, match=rf"attention of {re.escape(name)}.*--dtype float32 or bfloat16"):
            captured(unet)
    finally:
        weight.data.copy_(kept)


def test_bad_use(sd1_model):
    unet = sd1_model.pipe.unet
    with pytest.raises(UserError, match="no attention was captured"):
        captured(unet, reads={"self": (3,), "cross": (3,)})
    second_half = CaptureConfig(steps="second-half")
    with pytest.raises(ValueError, match="total_steps"), capturing(unet, second_half, guidance=True):
        pass
    with capturing(unet, guidance=True):
        run(unet, images=1, steps=1)
        with pytest.raises(ValueError, match="one batch"):
            run(unet, images=2, steps=1)
        with pytest.raises(ValueError, match="1 images of 16, then 1 of 16 × 32"):
            run(unet, images=1, steps=1, size=(16, 32))
    with capturing(unet, guidance=True) as recorder:
        run(unet)
    with pytest.raises(ValueError, match="shorter"):
        recorder.maps([{}], ["a dog"])


def test_fused_projections(sd1_model):
    unet = sd1_model.pipe.unet
    unet.fuse_qkv_projections()
    try:
        with pytest.raises(UserError, match="unfuse_qkv_projections"):
            captured(unet)
    finally:
        unet.unfuse_qkv_projections()


def test_what_is_in_memory_before_is_nothing_to_a_device_that_multiplies_it(monkeypatch):
    """As Metal's baddbmm, which does not leave out what it is told to multiply by 0."""
    query, key = (torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    expected, total = torch.zeros(2, 1, 5, 5)
    add_probabilities([Part(expected)], query, key, 0.5, normalize=True)
    metal = lambda before, a, b, beta, alpha, out: out.mul_(beta).add_(a @ b, alpha=alpha)  # noqa: E731
    monkeypatch.setattr(torch, "baddbmm", metal)
    monkeypatch.setattr(Scratch, "take", lambda _self, numbers, like: like.new_full((numbers,), torch.nan))
    with Pretended() as device:
        there: Any = device.put(total)
        add_probabilities([Part(there)], device.put(query), device.put(key), 0.5, normalize=True)
    torch.testing.assert_close(there.held, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_half_precision_is_of_queries_and_keys_alone(dtype, spread):
    """Scores, their softmax and its sums are float32's, also where half precision could not hold the scores."""
    query, key = torch.randn(2, 2, 5, 64, 8, generator=torch.Generator().manual_seed(0)).mul(spread).to(dtype).unbind()
    scores = query.double() @ key.double().transpose(2, 3) * 0.35
    mean = scores.softmax(-1).mean(1)
    total = torch.zeros(2, 64, 64)
    add_probabilities([Part(total)], query, key, 0.35, normalize=True)
    expected = mean / mean.amax((1, 2), keepdim=True)
    torch.testing.assert_close(total.double(), expected, atol=1e-5 if spread == 1 else 1e-2, rtol=0)
    assert spread == 1 or scores.abs().max() > torch.finfo(torch.float16).max


@pytest.fixture(scope="module")
def upcast_unet():
    """The structure of SD 2.1 at 768²: `upcast_attention`, and scores that half precision cannot hold."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    widths: Any = (2, 4)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=widths,
        use_linear_projection=True,
        norm_num_groups=8,
        upcast_attention=True,
    ).half()
    for weight in (p for n, p in unet.named_parameters() if "to_q" in n or "to_k" in n):
        weight.data *= 1500
    return unet


@pytest.mark.parametrize("asked", [True, False])
def test_scores_beyond_half_precision(upcast_unet, asked):
    """The picture and its maps are finite, whether the model asks for scores in float32 or not."""
    for attention in attention_layers(upcast_unet).values():
        attention.upcast_attention = asked
    with torch.no_grad(), capturing(upcast_unet, guidance=False) as recorder:
        given = inputs(upcast_unet, 1, 0, False)
        picture = upcast_unet(**{k: v.half() if torch.is_tensor(v) else v for k, v in given.items()}).sample
    assert picture.isfinite().all()
    (maps,) = recorder.maps([{}], [""])
    assert all(tensor.isfinite().all() for *_, tensor in maps.tensors())
