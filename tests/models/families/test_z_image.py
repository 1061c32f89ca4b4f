import torch
from builders.families import SPECS, generate, largest_difference

from seediff.attention.see_photos import encode_images
from seediff.config.constants import CaptureConfig
from seediff.prompts.specs import SampleSpec


def test_an_image_that_is_filled_up(model):
    """100 positions are filled up to 128, which are no picture and no text, and are attended to."""
    assert largest_difference(model, size=40, capture=CaptureConfig(normalize=False)) < 1e-5
    maps = generate(model, size=40, capture=CaptureConfig(normalize=False), guidance_scale=0.0)[1][0]
    rows = maps.self_attention[10, 10].sum(1)
    assert 0 < float(rows.min()) <= float(rows.max()) < 1


def test_what_fills_up_a_batch_is_not_attended_to(model):
    specs = [SPECS[0], SampleSpec(1, ("cat",), "a photo of a cat" + " and a bus" * 20, 12)]
    maps = generate(model, specs, capture=CaptureConfig(normalize=False))[1]
    assert maps[0].cross_attention[16, 16].shape[1] == maps[1].cross_attention[16, 16].shape[1] > 64
    assert float(maps[0].cross_attention[16, 16][:, 32:].abs().max()) == 0
    assert float(maps[1].cross_attention[16, 16][:, 32:].min()) > 0


def test_the_network_predicts_image_less_noise(model):
    """The other way round than the others; latents are shifted and scaled as the pipeline decodes them."""
    image = generate(model, SPECS[:1])[0][0]
    latents = encode_images(model, [image])
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, args, _k: calls.append(args), with_kwargs=True)
    with torch.no_grad():
        predicted = model.family.denoise(model.pipe, latents, 100, model.family.encode(model.pipe, ["a dog"], "cpu"))
        torch.testing.assert_close(predicted[0], -model.network(*calls[0]).sample[0].squeeze(1))
    handle.remove()
    config = model.pipe.vae.config
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = (model.pipe.vae.encode(pixels).latent_dist.mode() - config.shift_factor) * config.scaling_factor
    torch.testing.assert_close(latents, expected)
