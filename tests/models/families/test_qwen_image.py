"""Qwen-Image's narrow twin: two streams, the text first and cut out of a template, guidance as two calls, an autoencoder of videos."""

import torch
from builders.families import SPECS, generate, spelled
from builders.reference_attentions.qwen_image import QWEN_CUT as CUT
from builders.reference_attentions.qwen_image import behind_the_longest

from seediff.attention.photograph import capture_clean, encode_images
from seediff.config.constants import CaptureConfig
from seediff.prompts.specs import SampleSpec

N = 16 * 16


def text_columns(model, specs):
    """As many as the longest prompt has."""
    return behind_the_longest(model, N, [spec.prompt for spec in specs])[1].stop


def test_the_template_has_as_many_tokens_as_the_pipeline_cuts_off(model):
    """As with the real tokenizer: column 0 is the prompt's first token."""
    assert len(model.pipe.tokenizer(model.pipe.prompt_template_encode.split("{}")[0]).input_ids) == CUT
    assert model.pipe.prompt_template_encode_start_idx == CUT
    maps = generate(model, [SampleSpec(0, ("cat",), "cat and so on", 0)])[1][0]
    assert maps.words == {"cat": tuple(range(maps.words["cat"][-1] + 1))}


def test_words_are_found_behind_what_is_cut_off(model):
    assert spelled(model, SPECS[:2], CUT) == [{"dog": "dog"}, {"cat": "cat", "pottedplant": "potted plant"}]


def test_padding_is_not_attended_to(model):
    first, second = generate(model, capture=CaptureConfig(normalize=False), negative_prompt="a cat" + " and a bus" * 9)[1]
    own = text_columns(model, SPECS[:1])
    assert first.cross_attention[16, 16].shape[1] == text_columns(model, SPECS[:2])
    assert float(first.cross_attention[16, 16][:, own:].abs().max()) == 0
    assert float(second.cross_attention[16, 16][:, own:].min()) > 0
    torch.testing.assert_close(first.cross_attention[16, 16].sum(1) + first.self_attention[16, 16].sum(1), torch.ones(N))


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
