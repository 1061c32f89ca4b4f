"""Qwen-Image's narrow twin: two streams, the text first and cut out of a template, guidance as two calls, an autoencoder of videos."""

import numpy as np
import pytest
import torch
from builders.book import QWEN_CUT as CUT
from builders.book import behind_the_longest
from builders.families import SPECS, check_refused, generate, largest_difference, plain, spelled
from builders.language_twins import save_qwen_image

from seediff.attention.photograph import capture_clean, encode_images, run_clean
from seediff.config.constants import CaptureConfig
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec

N = 16 * 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_qwen_image(tmp_path_factory.mktemp("models") / "qwen-image")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


def text_columns(model, specs):
    """As many as the longest prompt has."""
    return behind_the_longest(model, N, [spec.prompt for spec in specs])[1].stop


@pytest.mark.parametrize("guidance", [3.0, 0.0])
@pytest.mark.parametrize("capture", [CaptureConfig(), CaptureConfig(normalize=False), CaptureConfig(text_share="text")])
def test_maps_are_those_by_the_book(model, guidance, capture):
    assert largest_difference(model, capture=capture, guidance_scale=guidance) < 1e-5


def test_the_template_has_as_many_tokens_as_the_pipeline_cuts_off(model):
    """As with the real tokenizer: column 0 is the prompt's first token."""
    assert len(model.pipe.tokenizer(model.pipe.prompt_template_encode.split("{}")[0]).input_ids) == CUT
    assert model.pipe.prompt_template_encode_start_idx == CUT
    maps = generate(model, [SampleSpec(0, ("cat",), "cat and so on", 0)])[1][0]
    assert maps.words == {"cat": tuple(range(maps.words["cat"][-1] + 1))}


def test_words_are_found_behind_what_is_cut_off(model):
    assert spelled(model, SPECS[:2], CUT) == [{"dog": "dog"}, {"cat": "cat", "pottedplant": "potted plant"}]


@pytest.mark.parametrize(("guidance", "negative"), [(3.0, "a cat" + " and a bus" * 9), (3.0, ""), (0.0, "")])
def test_the_picture_is_that_without_capture(model, guidance, negative):
    images, maps = generate(model, guidance_scale=guidance, negative_prompt=negative)
    more = {"negative_prompt": [negative] * 2} if guidance else {}
    assert np.array_equal(np.stack(images), plain(model, true_cfg_scale=guidance, **more))
    assert (list(maps[0].self_attention), maps[0].latent_size) == ([(16, 16)], (16, 16))
    assert maps[0].cross_attention[16, 16].shape[1] == text_columns(model, SPECS[:2])  # not the negative prompt's


def test_padding_is_not_attended_to(model):
    first, second = generate(model, capture=CaptureConfig(normalize=False), guidance_scale=0.0)[1]
    own = text_columns(model, SPECS[:1])
    assert float(first.cross_attention[16, 16][:, own:].abs().max()) == 0
    assert float(second.cross_attention[16, 16][:, own:].min()) > 0
    torch.testing.assert_close(first.cross_attention[16, 16].sum(1) + first.self_attention[16, 16].sum(1), torch.ones(N))


def test_a_photograph_is_told_what_the_pipeline_tells(model):
    image = generate(model, SPECS[:1])[0][0]
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, _a, kwargs: calls.append(kwargs), with_kwargs=True)
    plain(model, true_cfg_scale=1.0)
    latents = encode_images(model, [image] * 2)
    run_clean(model, latents, [spec.prompt for spec in SPECS[:2]], timestep=100)
    handle.remove()
    theirs, ours = calls[0], calls[-1]
    torch.testing.assert_close(ours["encoder_hidden_states"], theirs["encoder_hidden_states"])
    torch.testing.assert_close(ours["encoder_hidden_states_mask"], theirs["encoder_hidden_states_mask"])
    assert ours["img_shapes"] == theirs["img_shapes"] == [[(1, 16, 16)]] * 2
    assert ours["timestep"].tolist() == pytest.approx([0.1, 0.1])
    pipe = model.pipe
    torch.testing.assert_close(ours["hidden_states"], pipe._pack_latents(latents, *latents.shape))


def test_latents_are_what_the_pipeline_decodes(model):
    """Its decoding, undone: times each channel's deviation, plus its mean."""
    image = generate(model, SPECS[:1])[0][0]
    latents = encode_images(model, [image])
    config = model.pipe.vae.config
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    with torch.no_grad():
        expected = model.pipe.vae.encode(pixels).latent_dist.mode()
    mean, deviation = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std))
    torch.testing.assert_close(latents.unsqueeze(2) * deviation + mean, expected)


def test_one_prompt_alone_has_no_padding(model):
    latents = encode_images(model, generate(model, SPECS[:1])[0])
    maps = capture_clean(model, latents, ["a dog"], [["dog"]], timestep=300, kind="cross")[0]
    assert float(maps.cross_attention[16, 16].min()) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 50}, "size = 50 must be a multiple of 4"),
        (
            {"specs": [SampleSpec(0, ("dog",), "a dog" + " and so on" * 180, 0)]},
            r"the prompt has \d+ tokens and the model reads 546: these words would be cut off: '(and |so |on ?)+'; .* 'a dog",
        ),
    ],
)
def test_bad_input(model, options, message):
    check_refused(model, message, **options)
