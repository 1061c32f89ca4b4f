import torch
from builders.families import SPECS, generate, spelled
from builders.plans import capturing
from builders.refusals import user_error

from seediff.attention.see_photos import encode_images
from seediff.prompts.specs import SampleSpec


def test_a_place_for_an_image_is_no_word(model):
    """The pipeline takes it out of the prompt."""
    spec = SampleSpec(0, ("cat",), "a photo [IMG]of a cat", 0)
    assert spelled(model, [spec]) == [{"cat": "cat"}]
    assert (
        generate(model, [spec])[1][0].words
        == generate(model, [SampleSpec(0, ("cat",), "a photo of a cat", 0)])[1][0].words
    )


def test_latents_are_the_pipelines_own(model):
    image = generate(model, SPECS[:1])[0][0]
    latents, pipe = encode_images(model, [image]), model.pipe
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(pipe._patchify_latents(latents), pipe._encode_vae_image(pixels, generator=None))


def test_latents_are_packed_as_the_pipeline_packs(model):
    calls = []
    hook = model.network.register_forward_pre_hook(
        lambda _module, _args, kwargs: calls.append(kwargs), with_kwargs=True
    )
    latents, pipe = torch.randn(2, 4, 16, 24), model.pipe
    with torch.no_grad():
        predicted = model.family.denoise(pipe, latents, 100, model.family.encode(pipe, ["a dog", "a cat"], "cpu"))
        own = model.network(**calls[0])[0]
    hook.remove()
    torch.testing.assert_close(calls[0]["hidden_states"], pipe._pack_latents(pipe._patchify_latents(latents)))
    grid = pipe._unpack_latents_with_ids(own, calls[0]["img_ids"])
    torch.testing.assert_close(predicted, pipe._unpatchify_latents(grid))


def test_other_images_beside_the_one_drawn_are_refused(model):
    from PIL import Image

    with (
        capturing(model.network, guidance=False),
        user_error(r"^the network is shown other images \(image=…\)"),
    ):
        model.pipe(Image.new("RGB", (64, 64)), "a dog", height=64, width=64, num_inference_steps=1)
