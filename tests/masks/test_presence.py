import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from seediff.attention.maps import AttentionMaps
from seediff.masks.presence import LARGEST_GAIN, STRONGEST, denoising_errors, gains, log_ratio, presence

SIDE = 16
WORDS = {"dog": (5,), "pottedplant": (8, 9)}  # start, a, photo, of, a, dog, and, a, potted, plant, end


def cross_maps(words=WORDS):
    """Plain cross-attention of three levels to twelve tokens."""
    generator = torch.Generator().manual_seed(0)
    cross = {
        (s, s): torch.randn(s * s, 12, generator=generator).mul(2).softmax(1) for s in (SIDE, SIDE // 2, SIDE // 4)
    }
    return AttentionMaps({}, cross, (SIDE, SIDE), words, "a photo of a dog and a potted plant", normalized=False)


def changed(maps, column, factor):
    """The maps with one token's attention multiplied."""
    factors = torch.ones(12)
    factors[column] = factor
    return replace(
        maps, cross_attention={side: attention * factors for side, attention in maps.cross_attention.items()}
    )


@pytest.mark.parametrize("name", WORDS)
def test_equals_plain_arithmetic(name):
    maps = cross_maps()
    logs = []
    for (side, _), attention in maps.cross_attention.items():
        ratio = attention.double()[:, list(WORDS[name])].mean(1) / attention.double()[:, 1:5].mean(1)
        logs.append(F.interpolate(ratio.log().view(1, 1, side, side), (SIDE, SIDE), mode="bilinear").flatten())
    strongest = torch.stack(logs).mean(0).sort().values[-round(STRONGEST * SIDE**2) :]
    ratio = float(strongest.mean().exp()) * 2**0.25  # a sentence of two classes
    assert presence(maps, name) == pytest.approx(ratio / (1 + ratio), abs=1e-6)


@pytest.mark.parametrize(("dog", "start"), [(1, 0), (0, 1)], ids=["start token", "none"])
def test_a_sentence_that_begins_with_a_class_is_measured_against_the_first_other_token(dog, start):
    finest = cross_maps().cross_attention[SIDE, SIDE]
    only = replace(cross_maps(words={"dog": (dog,)}), cross_attention={(SIDE, SIDE): finest})
    expected = torch.log(finest[:, dog] / finest[:, start]).reshape(SIDE, SIDE)
    torch.testing.assert_close(log_ratio(only, "dog"), expected)


def test_attention_that_half_precision_rounded_to_zero():
    maps = cross_maps()
    assert 0 < presence(changed(maps, 5, 0.0), "dog") < 0.5
    nothing = replace(maps, cross_attention={(SIDE, SIDE): torch.zeros(SIDE * SIDE, 12)}, words={"dog": (5,)})
    assert presence(nothing, "dog") == 0.5


def test_the_class_that_explains_where_both_look():
    """A car asked for a bus: attention to both in the same place, where the error is smaller with the one than with the
    other and none.
    """

    def ratios_of(row, *names):
        return {name: (torch.arange(SIDE) == row).float()[:, None].expand(SIDE, SIDE) for name in names}

    errors = {}
    for name, everywhere, in_row_3 in (("", 0.5, 0.3), ("car", 0.4, 0.2), ("bus", 0.2, 0.25)):
        errors[name] = torch.full((2, SIDE, SIDE), everywhere)
        errors[name][:, 3] = in_row_3
        errors[name][1] *= 7  # another timestep, another scale
    found = gains(errors, ratios_of(3, "car", "bus"))
    assert found == pytest.approx({"car": math.log(0.25 / 0.2), "bus": math.log(0.2 / 0.25)}, abs=1e-6)
    elsewhere = gains(errors, ratios_of(5, "car", "bus"))  # where the other sentence is better
    assert elsewhere == {"car": -LARGEST_GAIN, "bus": LARGEST_GAIN}
    alone = gains({name: errors[name] for name in ("", "bus")}, ratios_of(3, "bus"))  # against no class at all
    assert alone["bus"] == pytest.approx(math.log(0.3 / 0.25), abs=1e-6)


def test_errors_are_those_of_the_models_own_denoising(mini_model, monkeypatch):
    """Of a v-prediction model: by plain arithmetic from its predictions, and any number of prompts at once."""
    monkeypatch.setattr("seediff.masks.presence.TOGETHER", 3)
    pipe = mini_model.pipe
    latents = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(0))
    prompts = ["", "a photo of a dog", "a photo of a cat", "a photo of a car"]
    found = denoising_errors(mini_model, latents, prompts, timesteps=(300, 500))
    assert found.shape == (4, 2, 16, 16)
    signal = float(pipe.scheduler.alphas_cumprod[500])
    noise = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(500))
    with torch.no_grad():
        embeddings, _ = pipe.encode_prompt([prompts[3]], "cpu", 1, False)
        noisy = signal**0.5 * latents + (1 - signal) ** 0.5 * noise
        predicted = pipe.unet(noisy[None], 500, encoder_hidden_states=embeddings).sample[0]
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    image = signal**0.5 * noisy - (1 - signal) ** 0.5 * predicted  # what it takes the image for
    expected = (image - latents).square().mean(0) / (1 - signal)
    torch.testing.assert_close(found[3, 1], expected, atol=1e-4, rtol=1e-3)
    alone = denoising_errors(mini_model, latents, prompts[3:4], timesteps=(300, 500))
    torch.testing.assert_close(alone[0], found[3], atol=1e-5, rtol=1e-4)
