"""Chroma's narrow twin: FLUX.1's blocks, a mask that is added to the scores, guidance as two calls."""

import numpy as np
import pytest
import torch
from builders.book import packed
from builders.eager import everything_kept, means
from builders.families import SPECS, check_refused, generate, largest_difference, plain, spelled
from builders.language_twins import save_chroma

from seediff.attention.layers import _bias
from seediff.attention.photograph import capture_clean, encode_images, run_clean
from seediff.config.constants import CaptureConfig
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec

T5, N = 512, 16 * 16
TEXT, PICTURE = slice(0, T5), slice(T5, T5 + N)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_chroma(tmp_path_factory.mktemp("models") / "chroma")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


@pytest.mark.parametrize("guidance", [3.0, 0.0])
@pytest.mark.parametrize("capture", [CaptureConfig(), CaptureConfig(normalize=False), CaptureConfig(text_share="text")])
def test_maps_are_those_by_the_book(model, guidance, capture):
    assert [name.split(".")[0] for name in model.family.layers(model.network)] == ["transformer_blocks"] * 2 + [
        "single_transformer_blocks"
    ] * 2
    assert largest_difference(model, capture=capture, guidance_scale=guidance) < 1e-5


def test_a_mask_of_truth_values_hides_padding(model):
    """Should diffusers come to hand its mask on as such: padding but its first token is not attended to, and the rest is as by the book."""
    condition = model.family.encode(model.pipe, ["a photo of a dog"], "cpu")
    assert int(condition["attention_mask"].sum()) == 10  # nine tokens, and one of the padding
    layer = next(iter(model.family.layers(model.network).values()))
    whole = torch.cat([condition["attention_mask"], torch.ones(1, N)], 1)
    mask = (whole[:, None, None] * whole[:, None, :, None]).bool()
    bias = _bias(mask, T5 + N, *layer.parts(T5 + N, N))
    assert bias.shape == (1, 1, 1, T5 + N)
    assert bias[0, 0, 0].isneginf().nonzero().flatten().tolist() == list(range(10, T5))


def test_second_half_of_the_steps_counts_calls_with_the_prompt(model):
    layers = dict.fromkeys(model.family.layers(model.network), packed)
    for steps, turns in (("second-half", (2, 3)), (2, (0, 2))):
        with everything_kept(model.network, layers) as kept:
            found = generate(model, steps=4, capture=CaptureConfig(steps=steps, normalize=False))[1][0]
        by_call = [kept[i : i + len(layers)] for i in range(0, len(kept), len(layers))]
        assert len(by_call) == 8
        expected = means([seen for turn in turns for seen in by_call[2 * turn]], 2, PICTURE, TEXT, normalize=False)
        assert float((found.cross_attention[16, 16] - expected["cross", 256][0]).abs().max()) < 1e-5


@pytest.mark.parametrize(("guidance", "negative"), [(3.0, "a cat"), (3.0, ""), (0.0, "")])
def test_the_picture_is_that_without_capture(model, guidance, negative):
    images, maps = generate(model, guidance_scale=guidance, negative_prompt=negative)
    more = {"negative_prompt": [negative] * 2} if guidance else {}
    assert np.array_equal(np.stack(images), plain(model, guidance_scale=guidance, **more))
    assert (list(maps[0].self_attention), maps[0].cross_attention[16, 16].shape) == ([(16, 16)], (N, T5))


def test_words(model):
    assert spelled(model, SPECS[:2]) == [{"dog": "dog"}, {"cat": "cat", "pottedplant": "potted plant"}]


def test_a_photograph_is_told_what_the_pipeline_tells(model):
    image = generate(model, SPECS[:1])[0][0]
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, _a, kwargs: calls.append(kwargs), with_kwargs=True)
    plain(model, guidance_scale=0.0)
    latents = encode_images(model, [image] * 2)
    run_clean(model, latents, [spec.prompt for spec in SPECS[:2]], timestep=100)
    handle.remove()
    theirs, ours = calls[0], calls[-1]
    for name in ("encoder_hidden_states", "txt_ids", "img_ids", "attention_mask"):
        torch.testing.assert_close(ours[name], theirs[name])
    pipe = model.pipe
    torch.testing.assert_close(ours["hidden_states"], pipe._pack_latents(latents, *latents.shape))
    condition = model.family.encode(pipe, [spec.prompt for spec in SPECS[:2]], "cpu")
    with torch.no_grad():
        found = model.family.denoise(pipe, latents, 100, condition)
        torch.testing.assert_close(found, pipe._unpack_latents(model.network(**ours)[0], 64, 64, pipe.vae_scale_factor))


def test_rows_of_a_clean_capture(model):
    latents = encode_images(model, generate(model, SPECS[:1])[0])
    maps = capture_clean(model, latents, timestep=300, kind="self")[0]
    torch.testing.assert_close(maps.self_attention[16, 16].sum(1), torch.ones(N))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 50}, "size = 50 must be a multiple of 4"),
        ({"specs": [SampleSpec(0, ("dog",), "a dog" + " and so on" * 90, 0)]}, "tokens and the model reads 512"),
        ({"negative_prompt": "and so on " * 90}, "negative_prompt: the prompt has .* tokens and the model reads 512"),
    ],
)
def test_bad_input(model, options, message):
    check_refused(model, message, **options)
