import gc

import pytest
import torch
from builders.plans import capturing
from builders.same_maps import assert_same_maps

import seediff.attention.probabilities
from seediff.attention.calls import KNOWN_CALLS
from seediff.attention.probabilities import Scores, Target, add_probabilities
from seediff.attention.which_rows import Encoded
from seediff.config.methods import CaptureConfig

STEPS = 3
CONTEXT = 7


def inputs(unet, images, step, guidance, size=(16, 16)):
    """Latents, timestep and context of one UNet call; the same for both halves of the batch but for the context."""
    width = unet.config.cross_attention_dim
    latents = torch.randn(images, 4, *size, generator=torch.Generator().manual_seed(100 + step))
    context = torch.randn(images, CONTEXT, width, generator=torch.Generator().manual_seed(1))
    if guidance:
        latents, context = torch.cat([latents, latents]), torch.cat([torch.zeros_like(context), context])
    return {"sample": latents, "timestep": 900 - 100 * step, "encoder_hidden_states": context}


@torch.no_grad()
def run(unet, *, images=2, steps=STEPS, guidance=True, size=(16, 16)):
    return [unet(**inputs(unet, images, step, guidance, size)).sample for step in range(steps)]


def captured(unet, config=CaptureConfig(), *, images=2, guidance=True, steps=STEPS, size=(16, 16), **options):  # noqa: B008
    prompt = Encoded([*inputs(unet, images, 0, False)["encoder_hidden_states"]])
    with capturing(unet, config, **options, prompt=prompt, total_steps=steps) as recorder:
        run(unet, images=images, guidance=guidance, steps=steps, size=size)
    count = recorder.calls.latest.images
    return recorder.maps([{"dog": (2,)}] * count, ["a dog"] * count)


def test_sides_that_cannot_be_halved_evenly(mini_model):
    size = (9, 13)
    how = {"size": size, "guidance": False, "steps": 1, "images": 1}
    maps = captured(mini_model.pipe.unet, **how)[0]
    assert list(maps.self_attention) == [tuple(-(-side // level) for side in size) for level in (1, 2, 4)]
    for level in (1, 2, 4):
        assert torch.equal(maps.self_at(level), maps.self_attention[maps.grid(level)])
        wanted = captured(mini_model.pipe.unet, **how, reads={"self": (level,)})[0]
        assert torch.equal(wanted.self_at(level), maps.self_at(level))


def bytes_of_tensors():
    """Bytes of the storages of all tensors of this process, each counted once."""
    storages = (one.untyped_storage() for one in gc.get_objects() if type(one) is torch.Tensor)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_what_is_held_does_not_grow_with_steps(sd1_model):
    held = [bytes_of_tensors()]
    prompt = Encoded([*inputs(sd1_model.pipe.unet, 2, 0, False)["encoder_hidden_states"]])
    with capturing(sd1_model.pipe.unet, prompt=prompt) as recorder:
        for _ in range(KNOWN_CALLS + 2):  # the texts of some calls are kept
            run(sd1_model.pipe.unet, steps=1)
            held.append(bytes_of_tensors())
        assert held[1] - held[0] > recorder.running.map_bytes > 0
        assert held[-1] == held[-2]


def test_block_size_changes_nothing(sd2_model, monkeypatch):
    unet = sd2_model.pipe.unet
    whole = captured(unet, images=3, steps=1)
    monkeypatch.setitem(seediff.attention.probabilities.BLOCK_BYTES, "cpu", 10_000)
    assert_same_maps(captured(unet, images=3, steps=1)[1], whole[1], 1e-6)


@pytest.mark.parametrize(("chosen", "recorded"), [("second-half", [1, 2]), (2, [0, 2])])
def test_steps(sd1_model, chosen, recorded):
    unet = sd1_model.pipe.unet
    maps = captured(unet, CaptureConfig(steps=chosen), steps=3)
    one_by_one = []
    for step in recorded:
        with capturing(unet) as recorder, torch.no_grad():
            unet(**inputs(unet, 2, step, False))
        one_by_one.append(recorder.maps([{}] * 2, [""] * 2)[0].self_attention[16, 16])
    torch.testing.assert_close(maps[0].self_attention[16, 16], torch.stack(one_by_one).mean(0), atol=1e-5, rtol=0)


def test_half_precision_is_of_queries_and_keys_alone():
    """Scores, their softmax and its sums are float32's, also where half precision could not hold the scores."""
    query, key = torch.randn(2, 2, 5, 64, 8, generator=torch.Generator().manual_seed(0)).mul(300).half().unbind()
    scores = query.double() @ key.double().transpose(2, 3) * 0.35
    mean = scores.softmax(-1).mean(1)
    total = torch.zeros(2, 64, 64)
    add_probabilities([Target(total)], Scores(query, key, 0.35), normalize=True, finite=torch.zeros(()))
    expected = mean / mean.amax((1, 2), keepdim=True)
    torch.testing.assert_close(total.double(), expected, atol=1e-2, rtol=0)
    assert scores.abs().max() > torch.finfo(torch.float16).max
