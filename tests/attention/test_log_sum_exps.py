"""On a CPU, whose operation returns the sums as well, in the place of a GPU's."""

from importlib import import_module

import pytest
import torch

pytest.importorskip("triton")

from builders.plans import capturing
from builders.same_maps import assert_same_maps
from builders.twins import small_unet
from torch.nn.attention import SDPBackend

from seediff.attention import fused, log_sum_exps, running_maps
from seediff.attention.fused import Blocks
from seediff.models.layer_choice import KINDS


def operation(query, key, value, scale):
    result, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, scale=scale)
    return result, sums.unsqueeze(-1)


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Whatever the network's calls are given, in half precision, has an operation with sums; how often it was asked."""
    calls = []

    def counted(*given, **how):
        calls.append(given)
        return operation(*given, **how)

    monkeypatch.setattr(log_sum_exps, "DEVICES", ("cpu",))
    monkeypatch.setattr(log_sum_exps, "_same", {})
    monkeypatch.setattr(log_sum_exps, "OPERATIONS", {SDPBackend.FLASH_ATTENTION.value: counted})
    monkeypatch.setattr(torch, "_fused_sdp_choice", lambda *_, **__: SDPBackend.FLASH_ATTENTION.value)
    monkeypatch.setattr(running_maps, "can_fuse", lambda _: True)
    monkeypatch.setattr(fused, "choose_tile", lambda *_: Blocks(16, 32, 1))
    return calls


@torch.no_grad()
def draw(unet, captured=True):
    noise = torch.Generator().manual_seed(0)
    latents, words = (torch.randn(shape, generator=noise).to(unet.dtype) for shape in ((1, 4, 8, 8), (1, 7, 8)))
    if not captured:
        return unet(latents, 300, encoder_hidden_states=words).sample, None
    with capturing(unet, reads=dict.fromkeys(KINDS, (2,)), guidance=False) as recording:
        picture = unet(latents, 300, encoder_hidden_states=words).sample
    return picture, recording.maps([{}], [""])[0]


@pytest.fixture
def unet():
    return small_unet().to(torch.float16)


def assert_same(found, expected):
    (picture, maps), (other, others) = found, expected
    assert torch.equal(picture, other)
    assert_same_maps(maps, others)


def test_a_capture_with_the_layers_log_sum_exps_multiplies_once(unet, on_a_gpu, monkeypatch):
    expected = draw(unet)
    shapes = len(log_sum_exps._same)
    assert shapes
    assert len(on_a_gpu) > shapes  # each shape is tried once, before its first call
    with monkeypatch.context() as patched:
        patched.setattr(import_module("seediff.attention.kernels"), "log_sum_exps", None)
        assert_same(draw(unet), expected)
    assert torch.equal(draw(unet, captured=False)[0], expected[0])
    monkeypatch.undo()
    assert_same(draw(unet), expected)  # by plain torch, with sums of capture's own


@pytest.mark.parametrize(("result", "sums"), [(1.01, 1.0), (1.0, 1.4427)], ids=["bytes", "sums of base 2"])
def test_an_operation_that_gives_another_result_is_not_used(unet, on_a_gpu, monkeypatch, result, sums):
    plain = draw(unet, captured=False)[0]
    log_sum_exps._same.clear()

    def wrong(*given, **how):
        found = operation(*given, **how)
        return found[0] * result, found[1] * sums

    monkeypatch.setattr(log_sum_exps, "OPERATIONS", {SDPBackend.FLASH_ATTENTION.value: wrong})
    found = draw(unet)
    assert torch.equal(found[0], plain)
    assert set(log_sum_exps._same.values()) == {False}
    monkeypatch.undo()
    assert_same(draw(unet), found)


QUERY = torch.zeros(1, 2, 4, 8, dtype=torch.float16)
REFUSED = {
    "a mask": {"attn_mask": torch.zeros(4, 4, dtype=torch.bfloat16)},
    "causal": {"is_causal": True},
    "grouped keys": {"enable_gqa": True},
    "float32": {"query": QUERY.float()},
    "a width that is padded": {"query": QUERY[..., :6], "key": QUERY[..., :6]},
    "gradients": {"value": QUERY.clone().requires_grad_()},
    "an argument of a later version": {"window": 4},
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_the_operation_does_otherwise_is_left_to_the_function(given, on_a_gpu):
    usual = dict.fromkeys(("query", "key", "value"), QUERY)
    assert log_sum_exps.attend_with_log_sum_exps(**usual) is not None
    on_a_gpu.clear()
    assert log_sum_exps.attend_with_log_sum_exps(**{**usual, **given}) is None
    assert not on_a_gpu


def test_autocast_and_functions_that_others_watch_are_left_alone(on_a_gpu):
    with torch.autocast("cpu", torch.bfloat16):
        assert log_sum_exps.attend_with_log_sum_exps(QUERY, QUERY, QUERY) is None
    with torch.device("cpu"):
        assert log_sum_exps.attend_with_log_sum_exps(QUERY, QUERY, QUERY) is None
    assert not on_a_gpu
