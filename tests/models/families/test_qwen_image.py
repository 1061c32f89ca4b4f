import torch
from builders.families import SPECS, generate
from builders.reference_attentions.qwen_image import QWEN_CUT as CUT

from seediff.attention.see_photos import encode_images
from seediff.prompts.specs import SampleSpec


def test_the_template_has_as_many_tokens_as_the_pipeline_cuts_off(model):
    """As with the real tokenizer: column 0 is the prompt's first token."""
    assert len(model.pipe.tokenizer(model.pipe.prompt_template_encode.split("{}")[0]).input_ids) == CUT
    assert model.pipe.prompt_template_encode_start_idx == CUT
    maps = generate(model, [SampleSpec(0, ("cat",), "cat and so on", 0)])[1][0]
    assert maps.words == {"cat": tuple(range(maps.words["cat"][-1] + 1))}


def test_latents_are_what_the_pipeline_decodes(model):
    """Its decoding, undone: times each channel's deviation, plus its mean."""
    image = generate(model, SPECS[:1])[0][0]
    latents = encode_images(model, [image])
    config = model.pipe.vae.config
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    with torch.no_grad():
        expected = model.pipe.vae.encode(pixels).latent_dist.mode()
    mean, deviation = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std)
    )
    torch.testing.assert_close(latents.unsqueeze(2) * deviation + mean, expected)
